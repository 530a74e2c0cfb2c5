//! The states of one level of the search that wait to be expanded, as bytes in pieces: what was read is given back to the
//! system at once, so two levels never take more than the wider one and a bit.

use std::collections::VecDeque;

/// States in the order in which they came.
#[derive(Default)]
pub(super) struct Frontier {
    pieces: VecDeque<Vec<u8>>,
    /// The states in it.
    len: u64,
}

impl Frontier {
    /// Adds a state.
    pub(super) fn push(&mut self, state: &[u8]) {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() + state.len() <= PIECE_BYTES => piece.extend_from_slice(state),
            _ => {
                let mut piece = Vec::with_capacity(PIECE_BYTES.max(state.len()));
                piece.extend_from_slice(state);
                self.pieces.push_back(piece);
            }
        }
        self.len += 1;
    }

    /// Takes the oldest piece: whole states, one behind the other.
    pub(super) fn take_piece(&mut self) -> Option<Vec<u8>> {
        self.pieces.pop_front()
    }

    /// How many states were added.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether none was added.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.len() * PIECE_BYTES
    }
}

const PIECE_BYTES: usize = 1 << 16;
