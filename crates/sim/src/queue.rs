//! What is to happen next: places of events in the order of their times. Nearly all that a run schedules happens within milliseconds, so the
//! near future is a ring of short slots, each with the few events that fall into it, and only what is further off stands in a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An event's place in time, as one number, because the queue does nothing but compare: when it happens (64 bits), what the seed drew (32),
/// which decides the order of events of the same microsecond, and where it waits (32), which no two have in common.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Scheduled(u128);

impl Scheduled {
    pub(crate) fn new(at_us: u64, tie: u64, place: u32) -> Scheduled {
        Scheduled(u128::from(at_us) << 64 | u128::from(tie >> 32 << 32) | u128::from(place))
    }

    pub(crate) fn at_us(self) -> u64 {
        u64::try_from(self.0 >> 64).expect("the upper half of 128 bits has 64 bits")
    }

    pub(crate) fn place(self) -> usize {
        usize::try_from(self.0 & u128::from(u32::MAX)).expect("32 bits make a place in memory")
    }

    /// The slot of its time, counted from the beginning of the run.
    fn slot(self) -> u64 {
        self.at_us() / SLOT_US
    }
}

/// All that is scheduled. Invariant: what stands in the ring belongs to the slots from `first` on, one round of them, and all else is later.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The slot with which the ring begins.
    first: u64,
    ring: Vec<Vec<Scheduled>>,
    /// Which places of the ring hold anything, a bit for each.
    filled: [u64; WORDS],
    later: BinaryHeap<Reverse<Scheduled>>,
}

impl Queue {
    /// Nothing is scheduled.
    pub(crate) fn new() -> Queue {
        let ring = (0..SLOTS).map(|_| Vec::new()).collect();
        Queue { first: 0, ring, filled: [0; WORDS], later: BinaryHeap::new() }
    }

    /// Schedules one more, which is not before the last one that was taken.
    pub(crate) fn push(&mut self, scheduled: Scheduled) {
        assert!(scheduled.slot() >= self.first, "nothing is scheduled in the past");
        if scheduled.slot() < self.first + SLOTS {
            self.put(scheduled);
        } else {
            self.later.push(Reverse(scheduled));
        }
    }

    /// Takes the next one, if it happens before `until_us`.
    pub(crate) fn pop_before(&mut self, until_us: u64) -> Option<Scheduled> {
        let place = match self.nearest() {
            Some(place) => place,
            None => {
                let next = self.later.peek().map(|Reverse(next)| *next)?;
                if next.at_us() >= until_us {
                    return None;
                }
                self.begin_at(next.slot());
                self.nearest().expect("what was later has come near")
            }
        };
        let slot = &mut self.ring[place];
        let (at, next) = slot.iter().copied().enumerate().min_by_key(|(_, next)| *next)?;
        if next.at_us() >= until_us {
            return None;
        }
        slot.swap_remove(at);
        if slot.is_empty() {
            self.filled[place / 64] &= !(1 << (place % 64));
        }
        self.begin_at(next.slot());
        Some(next)
    }

    /// Lets the ring begin with this slot: what was later and belongs into it now comes in.
    fn begin_at(&mut self, slot: u64) {
        self.first = slot;
        while let Some(Reverse(next)) = self.later.peek()
            && next.slot() < slot + SLOTS
        {
            let next = *next;
            self.later.pop();
            self.put(next);
        }
    }

    fn put(&mut self, scheduled: Scheduled) {
        let place = place_in_ring(scheduled.slot());
        self.ring[place].push(scheduled);
        self.filled[place / 64] |= 1 << (place % 64);
    }

    /// The place of the first slot in which there is anything.
    fn nearest(&self) -> Option<usize> {
        let begin = place_in_ring(self.first);
        let (word, bit) = (begin / 64, begin % 64);
        let ahead = self.filled[word] >> bit;
        if ahead != 0 {
            return Some(begin + ahead.trailing_zeros() as usize);
        }
        // The word in which the ring begins comes last once more, with the places before its beginning.
        (1..=WORDS).map(|step| (word + step) % WORDS).find_map(|word| {
            let bits = self.filled[word];
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

fn place_in_ring(slot: u64) -> usize {
    usize::try_from(slot % SLOTS).expect("a ring is small")
}

/// How many slots the ring has.
const SLOTS: u64 = 256;
/// The words of its bits.
const WORDS: usize = 4;
/// How long a slot is, in microseconds: an event or two fall into it.
const SLOT_US: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn events_come_in_the_order_of_time_and_of_what_was_drawn_however_far_off_they_are() {
        let mut rng = Rng::new(7);
        let (mut queue, mut heap) = (Queue::new(), BinaryHeap::new());
        let mut now_us = 0;
        for round in 0..200_000_u32 {
            // More and fewer by turns, down to none at all.
            if rng.chance(if round / 1_000 % 2 == 0 { 520 } else { 480 }) {
                let reach_us =
                    *rng.pick(&[0, 1, 40, 1_000, 5_000, 100_000, 10_000_000]).expect("it has some");
                let scheduled = Scheduled::new(now_us + rng.below(reach_us + 1), rng.below(4) << 32, round);
                queue.push(scheduled);
                heap.push(Reverse(scheduled));
            } else {
                if let Some(Reverse(next)) = heap.peek() {
                    assert_eq!(queue.pop_before(next.at_us()), None, "not before its time");
                }
                let next = queue.pop_before(u64::MAX);
                assert_eq!(next, heap.pop().map(|Reverse(next)| next));
                now_us = next.map_or(now_us, Scheduled::at_us);
            }
        }
        assert!(now_us > 10_000_000, "the run has gone far");
    }
}
