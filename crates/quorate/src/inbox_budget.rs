//! How many bytes of commands a node may hold for its callers: the count of places says nothing about memory when a command may have a
//! mebibyte. What the loop would refuse is refused at the door, by the caller's own thread: a loop that is busy with megabytes would
//! let those wait whom it can only send away.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of commands that callers have put into the inbox, and of those that wait in the node for their answers. Peers have budgets of their
/// own: what they may have on the way to this node is bounded where they send it, and by their connection.
#[derive(Debug)]
pub(crate) struct InboxBudget {
    /// In the inbox.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Behind it, without an answer, as of the last turn.
    pending_bytes: AtomicUsize,
    pending_bytes_max: usize,
}

impl InboxBudget {
    /// A budget of which nothing is used.
    pub(crate) fn new(bytes_max: usize, pending_bytes_max: usize) -> InboxBudget {
        let (bytes, pending_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        InboxBudget { bytes, bytes_max, pending_bytes, pending_bytes_max }
    }

    /// Takes room for a command of so many bytes; false, and nothing taken, when there is not enough.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // The sum is the only thing that is shared, so no order with other memory is needed. Callers are refused before
        // the sum could wrap: each takes at most the largest command and gives it back at once.
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = before.saturating_add(bytes);
        let pending = self.pending_bytes.load(Ordering::Relaxed);
        let fits = all <= self.bytes_max && all.saturating_add(pending) <= self.pending_bytes_max;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// The loop has taken commands of so many bytes out of the inbox, or they never got in.
    pub(crate) fn give_back(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "only what was taken from the inbox's budget is given back");
    }

    /// At the end of a turn that has taken commands of `taken` bytes out of the inbox: so many bytes wait for their answers now. In this
    /// order, for what moves from the one to the other must not seem to be nowhere.
    pub(crate) fn end_turn(&self, taken: usize, pending_bytes: usize) {
        self.pending_bytes.store(pending_bytes, Ordering::Relaxed);
        self.give_back(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::InboxBudget;

    #[test]
    fn the_budget_is_used_to_the_last_byte_and_no_further() {
        let budget = InboxBudget::new(10, 10);
        assert!(budget.take(6));
        assert!(!budget.take(5), "eleven bytes are more than ten");
        assert!(budget.take(4), "what was refused has taken nothing");
        assert!(!budget.take(1));
        budget.give_back(6);
        assert!(budget.take(6));
    }

    #[test]
    fn what_waits_for_its_answer_takes_the_room_of_what_comes() {
        let budget = InboxBudget::new(10, 15);
        assert!(budget.take(10));
        budget.end_turn(10, 10);
        assert!(!budget.take(6), "ten wait, fifteen may");
        assert!(budget.take(5));
        budget.end_turn(5, 0);
        assert!(budget.take(10), "all was answered");
    }

    #[test]
    #[should_panic(expected = "only what was taken")]
    fn what_was_not_taken_is_not_given_back() {
        InboxBudget::new(10, 10).give_back(1);
    }
}
