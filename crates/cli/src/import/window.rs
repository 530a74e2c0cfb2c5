//! The rows that have been read and are not all behind us: bounds what is read ahead, puts rejected rows back into the file's order,
//! and says which replies the cluster may forget.

use std::collections::VecDeque;

/// The most bytes of rows in the window (see `Row::weight`).
const WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most rows in the window.
const WINDOW_ROWS_MAX: usize = 24_576;
/// How many answered rows keep their replies in the cluster, so that importing the file again gives the same counts. Two replies
/// for each row here and in the window stay below the 262,144 that a session keeps.
const KEPT_ROWS: u64 = 100_000;

/// The rows from the first unanswered one to the last one read.
#[derive(Debug)]
pub(crate) struct Window<T> {
    /// Every row up to this one is answered.
    frontier: u64,
    slots: VecDeque<Slot<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot<T> {
    bytes: usize,
    /// What the row left to be told in order; None while it runs.
    answered: Option<Option<T>>,
}

impl<T> Window<T> {
    pub(crate) fn new() -> Window<T> {
        Window { frontier: 0, slots: VecDeque::new(), bytes: 0 }
    }

    /// Whether no further row may be read now. One row always fits.
    pub(crate) fn is_full(&self) -> bool {
        !self.slots.is_empty() && (self.bytes >= WINDOW_BYTES_MAX || self.slots.len() >= WINDOW_ROWS_MAX)
    }

    /// The next row was read.
    pub(crate) fn admit(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.slots.push_back(Slot { bytes, answered: None });
    }

    /// A row was answered. Returns what the rows that are now behind us left, in the file's order.
    pub(crate) fn answer(&mut self, number: u64, left: Option<T>) -> Vec<T> {
        let position =
            number.checked_sub(self.frontier + 1).and_then(|position| usize::try_from(position).ok());
        if let Some(slot) = position.and_then(|position| self.slots.get_mut(position)) {
            slot.answered = Some(left);
        }
        let mut told = Vec::new();
        while self.slots.front().is_some_and(|slot| slot.answered.is_some()) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.frontier += 1;
            self.bytes -= slot.bytes;
            told.extend(slot.answered.flatten());
        }
        told
    }

    /// The highest sequence whose reply will not be asked for again by this run (two for each row).
    pub(crate) fn acknowledged(&self) -> u64 {
        self.frontier.saturating_sub(KEPT_ROWS) * 2
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_ROWS, WINDOW_BYTES_MAX, WINDOW_ROWS_MAX, Window};

    #[test]
    fn rows_answered_out_of_order_are_told_in_order() {
        let mut window = Window::new();
        (0..4).for_each(|_| window.admit(1));
        assert_eq!(window.answer(3, Some('c')), []);
        assert_eq!(window.answer(2, None), []);
        assert_eq!(window.answer(1, Some('a')), ['a', 'c']);
        assert_eq!(window.answer(4, Some('d')), ['d']);
    }

    #[test]
    fn the_window_is_bounded_in_rows_and_in_bytes_and_opens_again() {
        let mut window = Window::<()>::new();
        (0..WINDOW_ROWS_MAX).for_each(|_| window.admit(1));
        assert!(window.is_full());
        window.answer(2, None);
        assert!(window.is_full(), "the first row still runs");
        window.answer(1, None);
        assert!(!window.is_full());
        let mut window = Window::<()>::new();
        window.admit(WINDOW_BYTES_MAX);
        assert!(window.is_full());
        window.answer(1, None);
        assert!(!window.is_full());
    }

    #[test]
    fn replies_are_released_only_far_behind_and_stay_below_what_a_session_keeps() {
        let mut window = Window::<()>::new();
        for number in 1..=KEPT_ROWS + 3 {
            window.admit(1);
            window.answer(number, None);
        }
        assert_eq!(window.acknowledged(), 6);
        assert!((KEPT_ROWS + WINDOW_ROWS_MAX as u64) * 2 < 262_144);
    }
}
