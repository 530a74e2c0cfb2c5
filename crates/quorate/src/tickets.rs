//! Who waits for what at this node. Tickets rise by one, and most are answered in order, so the table is a queue with holes:
//! no hashing, no allocation for each proposal.

use std::collections::VecDeque;

use quorate_replica::input::Ticket;

/// Values by ticket.
pub(crate) struct Tickets<T> {
    /// The ticket of the first slot.
    base: u64,
    slots: VecDeque<Option<T>>,
    /// Invariant: the number of slots that hold a value.
    len: usize,
}

impl<T> Tickets<T> {
    /// An empty table; the first ticket is 1.
    pub(crate) fn new() -> Tickets<T> {
        Tickets { base: 1, slots: VecDeque::new(), len: 0 }
    }

    /// Keeps a value under a new ticket.
    pub(crate) fn insert(&mut self, value: T) -> Ticket {
        let ticket = Ticket(self.base + self.slots.len() as u64);
        self.slots.push_back(Some(value));
        self.len += 1;
        ticket
    }

    /// Takes the value of a ticket; `None` if it was taken before or never given.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<T> {
        let slot = usize::try_from(ticket.0.checked_sub(self.base)?).ok()?;
        let value = self.slots.get_mut(slot)?.take()?;
        self.len -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
        assert!(self.len <= self.slots.len(), "a table never holds more values than slots");
        Some(value)
    }

    /// Forgets all but the newest `len` values.
    pub(crate) fn keep_newest(&mut self, len: usize) {
        while self.len > len {
            let oldest = Ticket(self.base);
            self.take(oldest)
                .expect("the first slot is never empty: taking gives empty slots at the front back");
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::Tickets;
    use quorate_replica::input::Ticket;

    #[test]
    fn each_ticket_is_answered_once_and_memory_follows_the_oldest() {
        let mut table = Tickets::new();
        let tickets: Vec<Ticket> = (0..5).map(|n| table.insert(n)).collect();
        assert_eq!(table.take(tickets[2]), Some(2));
        assert_eq!(table.take(tickets[2]), None, "a ticket is answered once");
        assert_eq!(table.slots.len(), 5);
        assert_eq!(table.take(tickets[0]), Some(0));
        assert_eq!(table.take(tickets[1]), Some(1));
        assert_eq!(table.slots.len(), 2, "answered slots at the front are given back");
        assert_eq!(table.take(Ticket(0)), None);
        assert_eq!(table.take(Ticket(99)), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.insert(9), Ticket(6));
        table.keep_newest(1);
        assert_eq!((table.len(), table.take(Ticket(6))), (1, Some(9)));
    }
}
