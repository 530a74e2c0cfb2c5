//! Which ids have come by already, within a bound of memory.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// How many ids are remembered: about 64 MiB at most.
const IDS_LEN_MAX: usize = 2_000_000;

/// The ids that have come by. When there are too many all are forgotten at once, at a place that depends on the file alone: an id
/// that comes again is then created again, which changes nothing.
#[derive(Debug)]
pub(crate) struct KnownIds {
    /// The first half of each id's SHA-256: two ids never share it.
    ids: HashSet<[u8; 16]>,
    len_max: usize,
    forgotten: bool,
}

impl KnownIds {
    pub(crate) fn new() -> KnownIds {
        KnownIds::with_len_max(IDS_LEN_MAX)
    }

    fn with_len_max(len_max: usize) -> KnownIds {
        KnownIds { ids: HashSet::new(), len_max, forgotten: false }
    }

    /// Whether the id is new.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let digest = Sha256::digest(id.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        if self.ids.contains(&short) {
            return false;
        }
        if self.ids.len() >= self.len_max {
            self.ids.clear();
            self.forgotten = true;
        }
        self.ids.insert(short)
    }

    /// Whether some ids have been forgotten, so that counts are no longer exact.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten
    }

    /// At least so many different ids have come by.
    pub(crate) fn len(&self) -> u64 {
        if self.forgotten { self.len_max as u64 } else { self.ids.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::KnownIds;

    #[test]
    fn an_id_is_new_once_until_the_bound_is_reached() {
        let mut known = KnownIds::with_len_max(2);
        let new = ["a", "b", "a", "c", "c", "a"].map(|id| known.insert(id));
        assert_eq!(new, [true, true, false, true, false, true]);
        assert!(known.has_forgotten());
        assert_eq!(known.len(), 2);
    }
}
