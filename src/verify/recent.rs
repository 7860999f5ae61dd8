//! A bounded map that keeps what was used recently.

use std::{collections::HashMap, hash::Hash, mem};

/// A map of at most `max` entries that forgets those not used for longest, roughly.
///
/// It has two halves. New and used entries go into the young one; when that is full it becomes the
/// old one, and the old one is dropped. So an entry survives at least `max / 2` insertions after
/// its last use, every step takes constant time, and there are no links to keep.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// An empty map for at most `max` entries; with less than 2 it never holds anything.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            half: max / 2,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// The value of `key`, which counts as used from now on.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    /// Sets the value of `key`, which counts as used now.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.half == 0 {
            return;
        }
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_recently_survives_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        recent.insert(0, 'a');
        for other in 1..100 {
            recent.insert(other, 'b');
            assert_eq!(recent.get(&0), Some(&'a'), "after {other} insertions");
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&99), Some(&'b'));
    }

    #[test]
    fn the_bound_holds_whatever_comes() {
        let mut recent = Recent::new(8);
        for key in 0..1_000_u32 {
            recent.insert(key, key);
            recent.get(&(key / 2));
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        let mut nothing = Recent::new(0);
        nothing.insert(1, 1);
        assert_eq!(nothing.get(&1), None);
    }

    #[test]
    fn a_new_value_replaces_the_old_one_wherever_it_is() {
        let mut recent = Recent::new(4);
        recent.insert(1, 'a');
        recent.insert(2, 'a');
        recent.insert(3, 'a');
        recent.insert(1, 'b');
        assert_eq!(recent.get(&1), Some(&'b'));
        recent.insert(1, 'c');
        assert_eq!(recent.get(&1), Some(&'c'));
    }
}
