//! Quorate: sim.
