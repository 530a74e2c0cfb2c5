//! The bytes of the wire format as they were recorded: what two releases say to each other may not change by accident.
//!
//! `QUORATE_GOLDEN_UPDATE=1 cargo test -p quorate-transport golden` records anew what this build says.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use quorate_core::types::{ClusterId, GroupId, NodeId};
use quorate_transport::{Answer, Hello, Identity, Lane, Refusal, RefusalCode, Welcome};

use crate::support::{bytes_of, frame};

#[test]
fn the_bytes_of_version_0_are_as_recorded() {
    let cluster = ClusterId(*b"a cluster's name");
    let from =
        Identity { cluster, group: GroupId(0), node: NodeId::new(1), incarnation: 0x0123_4567_89AB_CDEF };
    let hello = Hello { version_min: 0, version_max: 0, from, to: NodeId::new(2), lane: Lane::Messages };
    let welcome = Welcome { version: 0, node: NodeId::new(2), incarnation: 0xFEDC };
    let refusal = Refusal { code: RefusalCode::WrongNode, text: "this is n3".to_owned() };
    let messages: [(&str, Vec<u8>); 5] = [
        ("hello", hello.encode()),
        ("welcome", Answer::Welcome(welcome).encode()),
        ("refused", Answer::Refused(refusal).encode()),
        ("empty frame", bytes_of(&[frame(1, Bytes::new())]).to_vec()),
        ("frame", bytes_of(&[frame(2, "a body")]).to_vec()),
    ];
    let mut said = String::new();
    for (name, bytes) in messages {
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        writeln!(said, "{name}: {hex}").expect("a string takes all");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/wire-v0.txt");
    if std::env::var_os("QUORATE_GOLDEN_UPDATE").is_some() {
        std::fs::write(&path, &said).expect("the file can be written");
    }
    let recorded = std::fs::read_to_string(&path).expect("the recorded bytes are there");
    assert_eq!(said, recorded, "the wire format has changed: raise its version, or take the change back");
}
