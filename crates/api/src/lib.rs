//! Quorate: api.
