//! A number for each distinct thing: states are made of a few thousand parts that occur in millions of combinations.

use std::collections::BTreeMap;

/// Distinct things in the order in which they were first seen.
pub struct Interner<T> {
    numbers: BTreeMap<Box<[u8]>, u32>,
    items: Vec<T>,
    key_bytes: usize,
}

impl<T> Interner<T> {
    /// Nothing yet.
    pub fn new() -> Interner<T> {
        Interner { numbers: BTreeMap::new(), items: Vec::new(), key_bytes: 0 }
    }

    /// The number of the thing whose canonical form is `key`; `make` gives the thing if it is new.
    pub fn number(&mut self, key: &[u8], make: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number =
            u32::try_from(self.items.len()).expect("four thousand million parts do not fit in memory");
        self.numbers.insert(key.into(), number);
        self.items.push(make());
        self.key_bytes += key.len();
        assert!(self.numbers.len() == self.items.len(), "each number has one thing");
        number
    }

    /// The thing with this number.
    pub fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The memory of the keys and of the things without what they point to, in bytes.
    pub fn bytes(&self) -> usize {
        self.key_bytes + self.items.len() * (size_of::<T>() + KEY_OVERHEAD_BYTES)
    }
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner::new()
    }
}

/// A key's pointer, its number and its share of the tree.
const KEY_OVERHEAD_BYTES: usize = 48;
