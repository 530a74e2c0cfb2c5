//! Linearizable reads by a witness (thesis 6.4): the log's order is the order of the writes, so no search is needed. A read
//! that begins after a write was acknowledged, or after another read returned, must show a state at least as new.

use quorate_core::types::Index;

use crate::check::Violation;

/// How new a state the clients have been shown.
#[derive(Debug, Default)]
pub struct Witness {
    /// The highest index of an acknowledged write, or of a state that a read returned.
    shown: Index,
    acknowledged: u64,
    reads: u64,
}

impl Witness {
    /// What a read that begins now must see at least.
    pub fn floor(&self) -> Index {
        self.shown
    }

    /// A client learned that its write stands at this index.
    pub fn on_acknowledged(&mut self, index: Index) {
        self.acknowledged += 1;
        self.shown = self.shown.max(index);
    }

    /// A read that began with this floor saw the state of this index.
    ///
    /// # Errors
    /// When the state is older than the floor.
    pub fn on_read(
        &mut self,
        who: impl std::fmt::Display,
        floor: Index,
        saw: Index,
    ) -> Result<(), Violation> {
        if saw < floor {
            return Err(Violation::safety(
                "a read sees every write acknowledged before it began",
                format!("{who} saw the state of index {saw}, but {floor} was known before it began"),
            ));
        }
        self.reads += 1;
        self.shown = self.shown.max(saw);
        Ok(())
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many operations were answered: writes acknowledged and reads served.
    pub fn answered(&self) -> u64 {
        self.acknowledged + self.reads
    }

    /// How many reads were served.
    pub fn reads(&self) -> u64 {
        self.reads
    }
}
