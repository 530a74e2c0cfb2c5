//! Quorate: transport.
