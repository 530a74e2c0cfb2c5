//! Frames: what comes out is what went in, or an error; never something else, and never more memory than the limits say.

use bytes::{Bytes, BytesMut};
use quorate_transport::{FRAME_HEADER_BYTES, Frame, FrameError, FrameReader};

const BODY_BYTES_MAX: usize = 4_096;
const READ_BUFFER_BYTES: usize = 1_024;

/// Reads `bytes`, which come in pieces of `piece` bytes, and returns the frames before the end and how it ended.
fn read(bytes: &[u8], piece: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut reader = FrameReader::new(BODY_BYTES_MAX, READ_BUFFER_BYTES);
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.space().extend_from_slice(piece);
        assert!(
            reader.capacity_bytes() <= 2 * (BODY_BYTES_MAX + FRAME_HEADER_BYTES),
            "memory stays within the limit"
        );
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let end = reader.finish();
    (frames, end)
}

/// Three frames: an empty one, a small one that is copied out, a larger one that shares the read buffer.
fn frames() -> Vec<Frame> {
    let body = |len: u8| Bytes::from((0..len).collect::<Vec<u8>>());
    vec![
        Frame { kind: 0, body: Bytes::new() },
        Frame { kind: 7, body: body(40) },
        Frame { kind: 255, body: body(200) },
    ]
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes.to_vec()
}

#[test]
fn frames_survive_any_cut_into_pieces() {
    let bytes = encode(&frames());
    for piece in 1..=bytes.len() {
        assert_eq!(read(&bytes, piece), (frames(), Ok(())), "in pieces of {piece} bytes");
    }
}

#[test]
fn each_flipped_bit_is_detected() {
    let whole = frames();
    let bytes = encode(&whole);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (got, end) = read(&flipped, flipped.len());
        assert!(end.is_err(), "flipping bit {bit} was not detected");
        assert!(got.len() < whole.len() && got == whole[..got.len()], "bit {bit}: a frame came out altered");
    }
}

#[test]
fn each_truncation_is_detected() {
    let whole = frames();
    let bytes = encode(&whole);
    let mut ends = vec![0];
    for frame in &whole {
        ends.push(ends.last().expect("never empty") + frame.wire_len_bytes());
    }
    for cut in 0..=bytes.len() {
        let (got, end) = read(&bytes[..cut], 64);
        let complete = ends.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(got, whole[..complete], "cut at {cut}");
        assert_eq!(
            end.is_ok(),
            ends.contains(&cut),
            "cut at {cut}: only an end between two frames is one in order"
        );
    }
}

#[test]
fn a_length_above_the_limit_takes_no_memory() {
    let at_limit = Frame { kind: 1, body: Bytes::from(vec![5; BODY_BYTES_MAX]) };
    assert_eq!(read(&encode(std::slice::from_ref(&at_limit)), 512), (vec![at_limit], Ok(())));
    for body_len in [BODY_BYTES_MAX + 1, 1 << 20] {
        let bytes = encode(&[Frame { kind: 1, body: Bytes::from(vec![5; body_len]) }]);
        let mut reader = FrameReader::new(BODY_BYTES_MAX, READ_BUFFER_BYTES);
        reader.space().extend_from_slice(&bytes[..FRAME_HEADER_BYTES]);
        let too_large = FrameError::TooLarge { len_bytes: body_len as u64, max_bytes: BODY_BYTES_MAX as u64 };
        assert_eq!(reader.next_frame(), Err(too_large));
        reader.space();
        assert!(reader.capacity_bytes() <= 2 * READ_BUFFER_BYTES, "{} bytes taken", reader.capacity_bytes());
    }
}

/// Random bytes never panic and, with 48 check bits for each frame, never look like one.
#[test]
fn random_bytes_are_no_frames() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..20_000 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        let (got, end) = read(&bytes, 64);
        assert!(got.is_empty() && end.is_err(), "round {round} made frames of random bytes");
    }
}

/// A small body that is kept for long must not keep the whole read buffer alive; a large one is not worth the copy.
#[test]
fn small_bodies_leave_the_read_buffer() {
    let body_len = |len: usize| {
        let mut reader = FrameReader::new(BODY_BYTES_MAX, READ_BUFFER_BYTES);
        let two = [
            Frame { kind: 1, body: Bytes::from(vec![9; len]) },
            Frame { kind: 2, body: Bytes::from(vec![9; len]) },
        ];
        reader.space().extend_from_slice(&encode(&two));
        let frame = reader.next_frame().expect("intact").expect("complete");
        (frame.body.is_unique(), reader)
    };
    assert!(body_len(READ_BUFFER_BYTES / 8 - 1).0, "below an eighth of the buffer the body is a copy");
    assert!(!body_len(READ_BUFFER_BYTES / 8).0, "from an eighth on the body is a slice of the buffer");
}

#[test]
fn flags_of_a_later_version_are_refused() {
    let mut bytes = encode(&[Frame { kind: 1, body: Bytes::from_static(b"x") }]);
    bytes[5] = 1;
    let [low, high, _, _] = (!crc32c::crc32c(&bytes[0..6])).to_le_bytes();
    bytes[6] = low;
    bytes[7] = high;
    assert_eq!(read(&bytes, 64).1, Err(FrameError::UnknownFlags { flags: 1 }));
}
