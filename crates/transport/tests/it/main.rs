//! The tests of the transport: frames and handshakes byte by byte, links and listeners over real sockets of this machine.

mod frame;
mod golden;
mod handshake;
mod inbound;
mod link;
mod support;
