//! Quorate: machine.
