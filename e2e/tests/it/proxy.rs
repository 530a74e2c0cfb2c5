//! The wires of the tests do what their rules say: a test over a wire that cuts nothing proves nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use quorate_e2e::BOUND;
use quorate_e2e::proxy::{Mesh, Rule};

/// Two ends of a connection that node 0 opened to node 1 through a mesh of two.
fn connected() -> (Mesh, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    // Nobody dials node 0.
    let mesh = Mesh::start(&["127.0.0.1:1".to_owned(), address]).expect("proxies");
    let dialer = TcpStream::connect(mesh.address(0, 1).expect("a proxy")).expect("it listens");
    let (listener, _) = listener.accept().expect("the proxy passes it on");
    dialer.set_read_timeout(Some(BOUND)).expect("a time");
    listener.set_read_timeout(Some(BOUND)).expect("a time");
    (mesh, dialer, listener)
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("the bytes arrive");
    bytes
}

/// Nothing can be read now.
fn silent(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can be asked");
    let answer = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("it can be asked");
    answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn an_open_wire_passes_bytes_on_in_both_directions() {
    let (_mesh, mut dialer, mut listener) = connected();
    dialer.write_all(b"there").expect("it is open");
    assert_eq!(read(&mut listener, 5), b"there");
    listener.write_all(b"back").expect("it is open");
    assert_eq!(read(&mut dialer, 4), b"back");
}

#[test]
fn a_cut_wire_loses_bytes_of_its_direction_only_and_the_connection_ends_when_it_heals() {
    let (mesh, mut dialer, mut listener) = connected();
    mesh.wire(0, 1).set(Rule::Cut);
    dialer.write_all(b"lost").expect("nobody is told");
    listener.write_all(b"back").expect("this direction is open");
    assert_eq!(read(&mut dialer, 4), b"back");
    let begin = Instant::now();
    while mesh.wire(0, 1).lost_bytes() < 4 {
        assert!(begin.elapsed() < BOUND, "the bytes do not meet the cut");
        std::thread::yield_now();
    }
    mesh.heal();
    assert_eq!(listener.read(&mut [0; 8]).expect("an end"), 0, "no byte behind the hole arrives");
}

#[test]
fn a_frozen_wire_holds_bytes_back_and_passes_them_on_when_it_thaws() {
    let (mesh, mut dialer, mut listener) = connected();
    mesh.wire(0, 1).set(Rule::Frozen);
    dialer.write_all(b"held").expect("nobody is told");
    listener.write_all(b"back").expect("this direction is open");
    assert_eq!(read(&mut dialer, 4), b"back");
    assert!(silent(&mut listener), "nothing passes a frozen wire");
    mesh.heal();
    assert_eq!(read(&mut listener, 4), b"held");
}

#[test]
fn a_slow_wire_takes_its_time() {
    let (mesh, mut dialer, mut listener) = connected();
    mesh.wire(0, 1).set(Rule::delay(Duration::from_millis(50)));
    let begin = Instant::now();
    dialer.write_all(b"late").expect("it is open");
    read(&mut listener, 4);
    assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
    mesh.wire(0, 1).set(Rule::rate(100 * 1024));
    let begin = Instant::now();
    dialer.write_all(&[7; 10 * 1024]).expect("it is open");
    read(&mut listener, 10 * 1024);
    assert!(begin.elapsed() >= Duration::from_millis(99), "{:?}", begin.elapsed());
}

#[test]
fn a_reset_ends_a_connection_on_both_sides() {
    let (mesh, mut dialer, mut listener) = connected();
    dialer.write_all(b"x").expect("it is open");
    read(&mut listener, 1);
    mesh.reset(0);
    assert_eq!(dialer.read(&mut [0; 8]).expect("an end"), 0);
    assert_eq!(listener.read(&mut [0; 8]).expect("an end"), 0);
}
