//! How many bytes of commands may lie in the inbox: the count of its places says nothing about memory when a command may
//! have a mebibyte.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of commands that callers have put into the inbox and the loop has not taken. Peers need no such budget: what they may
/// have on the way to this node is bounded where they send it.
#[derive(Debug)]
pub(crate) struct InboxBudget {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl InboxBudget {
    /// A budget of which nothing is used.
    pub(crate) fn new(bytes_max: usize) -> InboxBudget {
        InboxBudget { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Takes room for a command of so many bytes; false, and nothing taken, when there is not enough.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // The sum is the only thing that is shared, so no order with other memory is needed. Callers are refused before
        // the sum could wrap: each takes at most the largest command and gives it back at once.
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.bytes_max;
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
}

#[cfg(test)]
mod tests {
    use super::InboxBudget;

    #[test]
    fn the_budget_is_used_to_the_last_byte_and_no_further() {
        let budget = InboxBudget::new(10);
        assert!(budget.take(6));
        assert!(!budget.take(5), "eleven bytes are more than ten");
        assert!(budget.take(4), "what was refused has taken nothing");
        assert!(!budget.take(1));
        budget.give_back(6);
        assert!(budget.take(6));
    }

    #[test]
    #[should_panic(expected = "only what was taken")]
    fn what_was_not_taken_is_not_given_back() {
        InboxBudget::new(10).give_back(1);
    }
}
