//! A map and a queue of which a copy costs next to nothing: their entries stand in chunks, which copies share until one of them changes
//! something there. The tables of sessions are in every snapshot, and commands wait while it takes its copy of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Entries in the order of their keys. What is changed after a copy was made costs one copy of its chunk, once.
#[derive(Clone, Debug)]
pub(crate) struct SharedMap<K, V> {
    /// Each chunk under a key that is not above its first. Invariant: no chunk is empty, each holds keys below those under which the next one
    /// stands, and at most `CHUNK_LEN_MAX` of them.
    chunks: BTreeMap<K, Arc<BTreeMap<K, V>>>,
    /// Invariant: the sum over the chunks.
    len: usize,
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// A map without entries.
    pub(crate) fn new() -> SharedMap<K, V> {
        SharedMap { chunks: BTreeMap::new(), len: 0 }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry of this key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.chunks.range(..=key).next_back()?.1.get(key)
    }

    /// Whether there is an entry of this key.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The lowest key, with its entry.
    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.chunks.first_key_value()?.1.first_key_value()
    }

    /// Puts an entry in, and gives the one that stood there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some((_, chunk)) = self.chunks.range_mut(..=&key).next_back() {
            let chunk = Arc::make_mut(chunk);
            let before = chunk.insert(key, value);
            self.len += usize::from(before.is_none());
            if chunk.len() > CHUNK_LEN_MAX {
                // Most keys come in order: what is behind the middle is then about to grow, and the rest stays as full as it is.
                let at = chunk.keys().nth(CHUNK_LEN_MAX * 3 / 4).cloned().expect("a full chunk has a middle");
                let upper = chunk.split_off(&at);
                assert!(!chunk.is_empty() && !upper.is_empty(), "both parts of a full chunk hold something");
                self.chunks.insert(at, Arc::new(upper));
            }
            return before;
        }
        // Below all others: the first chunk takes it, and stands under it from now on.
        let mut first = self.chunks.pop_first().map(|(_, chunk)| chunk).unwrap_or_default();
        if first.len() < CHUNK_LEN_MAX {
            Arc::make_mut(&mut first).insert(key.clone(), value);
        } else {
            let under = first.keys().next().cloned().expect("a full chunk has a first key");
            self.chunks.insert(under, first);
            first = Arc::new(BTreeMap::from([(key.clone(), value)]));
        }
        self.chunks.insert(key, first);
        self.len += 1;
        None
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (under, chunk) = self.chunks.range_mut(..=key).next_back()?;
        if !chunk.contains_key(key) {
            return None;
        }
        let chunk = Arc::make_mut(chunk);
        let removed = chunk.remove(key);
        if chunk.is_empty() {
            let under = under.clone();
            self.chunks.remove(&under);
        }
        self.len -= 1;
        assert!(self.len > 0 || self.chunks.is_empty(), "a map without entries has no chunks");
        removed
    }

    /// Takes out the entry of the lowest key.
    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        let mut first = self.chunks.first_entry()?;
        let popped = Arc::make_mut(first.get_mut()).pop_first();
        if first.get().is_empty() {
            first.remove();
        }
        self.len -= usize::from(popped.is_some());
        popped
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.values().flat_map(|chunk| chunk.iter())
    }
}

/// Entries that come in order make whole chunks at once; all others are put in one after the other.
impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> SharedMap<K, V> {
        let mut map = SharedMap::new();
        let mut entries = entries.into_iter();
        loop {
            let chunk: Vec<(K, V)> = entries.by_ref().take(CHUNK_LEN_MAX).collect();
            let Some((first, _)) = chunk.first() else { return map };
            let rises = chunk.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let highest = map.chunks.last_key_value().and_then(|(_, last)| last.last_key_value());
            if rises && highest.is_none_or(|(highest, _)| highest < first) {
                map.len += chunk.len();
                map.chunks.insert(first.clone(), Arc::new(chunk.into_iter().collect()));
            } else {
                chunk.into_iter().for_each(|(key, value)| drop(map.insert(key, value)));
            }
        }
    }
}

/// Equal are maps with equal entries, however they are cut into chunks.
impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &SharedMap<K, V>) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for SharedMap<K, V> {}

/// What comes first goes first.
#[derive(Clone, Debug)]
pub(crate) struct SharedQueue<T> {
    /// Invariant: no chunk is empty, and each but the first and the last holds `CHUNK_LEN_MAX`.
    chunks: VecDeque<Arc<Vec<T>>>,
    /// How many of the first chunk are gone. Invariant: less than it holds; 0 without chunks.
    gone: usize,
    /// Invariant: the sum over the chunks, less what is gone.
    len: usize,
}

impl<T: Clone> SharedQueue<T> {
    /// A queue without entries.
    pub(crate) fn new() -> SharedQueue<T> {
        SharedQueue { chunks: VecDeque::new(), gone: 0, len: 0 }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first one.
    pub(crate) fn front(&self) -> Option<&T> {
        self.chunks.front()?.get(self.gone)
    }

    /// Puts one behind all others.
    pub(crate) fn push_back(&mut self, value: T) {
        match self.chunks.back_mut().filter(|chunk| chunk.len() < CHUNK_LEN_MAX) {
            Some(chunk) => Arc::make_mut(chunk).push(value),
            None => self.chunks.push_back(Arc::new(vec![value])),
        }
        self.len += 1;
    }

    /// Takes the first one. It stays in memory until its chunk is gone.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front()?;
        let popped = first.get(self.gone).cloned();
        self.gone += 1;
        if self.gone == first.len() {
            self.chunks.pop_front();
            self.gone = 0;
        }
        self.len -= usize::from(popped.is_some());
        assert!(self.len > 0 || self.chunks.is_empty(), "a queue without entries has no chunks");
        popped
    }

    /// All in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).skip(self.gone)
    }
}

/// Equal are queues with equal entries, however they are cut into chunks.
impl<T: Clone + PartialEq> PartialEq for SharedQueue<T> {
    fn eq(&self, other: &SharedQueue<T>) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Clone + Eq> Eq for SharedQueue<T> {}

/// How many entries a chunk holds at most: copying as many costs some microseconds, and a million make a few thousand chunks.
const CHUNK_LEN_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::Arc;

    use super::{CHUNK_LEN_MAX, SharedMap, SharedQueue};

    /// The same steps on the map and on a plain one: keys in no order, repeated ones, removals from anywhere and from the front.
    #[test]
    fn it_is_a_map_and_a_copy_keeps_what_it_was() {
        let (mut map, mut model) = (SharedMap::new(), BTreeMap::new());
        let mut copies = Vec::new();
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 33) % 3_000;
            match random >> 62 {
                0 | 1 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                2 => assert_eq!(map.remove(&key), model.remove(&key)),
                _ => assert_eq!(map.pop_first(), model.pop_first()),
            }
            assert_eq!((map.len(), map.get(&key)), (model.len(), model.get(&key)));
            assert_eq!(map.first_key_value(), model.first_key_value());
            if step % 2_000 == 0 {
                copies.push((map.clone(), model.clone()));
            }
        }
        copies.push((map, model));
        for (map, model) in copies {
            assert!(map.iter().eq(model.iter()), "the same entries in the same order");
            let rebuilt: SharedMap<u64, u64> =
                model.iter().rev().map(|(key, value)| (*key, *value)).collect();
            assert!(rebuilt == map, "however it is cut into chunks");
            let mut rebuilt: SharedMap<u64, u64> = model.into_iter().collect();
            assert!(rebuilt == map, "also when all come in order");
            rebuilt.insert(4_000, 0);
            assert!(rebuilt != map);
        }
    }

    #[test]
    fn it_is_a_queue_and_a_copy_keeps_what_it_was() {
        let (mut queue, mut model) = (SharedQueue::new(), VecDeque::new());
        let mut copies = Vec::new();
        for step in 0..10_000_u64 {
            queue.push_back(step);
            model.push_back(step);
            if step % 3 != 0 && step > 2_000 {
                assert_eq!((queue.pop_front(), queue.pop_front()), (model.pop_front(), model.pop_front()));
            }
            assert_eq!((queue.len(), queue.front()), (model.len(), model.front()));
            if step % 1_000 == 0 {
                copies.push((queue.clone(), model.clone()));
            }
        }
        for (queue, model) in copies {
            assert!(queue.iter().eq(model.iter()), "the same entries in the same order");
        }
    }

    /// The copy is what commands wait for: it touches chunks and not entries.
    #[test]
    fn a_copy_shares_all_chunks_and_a_change_copies_one() {
        let (mut map, mut queue) = (SharedMap::new(), SharedQueue::new());
        for number in 0..20 * CHUNK_LEN_MAX as u64 {
            map.insert(number, number);
            queue.push_back(number);
        }
        let (copy, row) = (map.clone(), queue.clone());
        assert!(map.chunks.len() < 30, "{} chunks: keys in order fill them", map.chunks.len());
        let shared = |map: &SharedMap<u64, u64>| {
            map.chunks.values().filter(|chunk| Arc::strong_count(chunk) > 1).count()
        };
        assert_eq!(shared(&map), map.chunks.len());
        map.insert(7, 0);
        queue.push_back(0);
        queue.pop_front();
        assert_eq!((shared(&map), shared(&copy)), (map.chunks.len() - 1, copy.chunks.len() - 1));
        let shared = queue.chunks.iter().filter(|chunk| Arc::strong_count(chunk) > 1).count();
        assert_eq!(shared, row.chunks.len(), "a new chunk is begun, and the first one is not touched");
    }
}
