//! Quorate: quorate.
