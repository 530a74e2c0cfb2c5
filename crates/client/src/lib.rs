//! Quorate: client.
