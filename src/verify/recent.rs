//! A bounded map that keeps what was used recently.

use std::{collections::HashMap, hash::Hash, mem};

/// A map of a bounded weight that forgets what was not used for longest, roughly.
///
/// It has two halves. New and used entries go into the young one; when that is full it becomes the
/// old one, and the old one is dropped. So an entry outlasts insertions of at least half the
/// weight, less its own, after its last use; every step takes constant time, and there are no
/// links to keep.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    half: usize,
    young: HashMap<K, Weighed<V>>,
    young_weight: usize,
    old: HashMap<K, Weighed<V>>,
}

#[derive(Debug)]
struct Weighed<V> {
    value: V,
    weight: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// An empty map of at most that weight; what weighs more than half of it is never kept.
    pub(crate) fn new(max_weight: usize) -> Self {
        Self {
            half: max_weight / 2,
            young: HashMap::new(),
            young_weight: 0,
            old: HashMap::new(),
        }
    }

    /// The value of `key`, which counts as used from now on.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if let Some((key, entry)) = self.old.remove_entry(key) {
            self.insert_entry(key, entry);
        }
        self.young.get(key).map(|entry| &entry.value)
    }

    /// Sets the value of `key`, which counts as used now; `weight` is counted against the bound.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.old.remove(&key);
        if let Some(previous) = self.young.remove(&key) {
            self.young_weight -= previous.weight;
        }
        self.insert_entry(key, Weighed { value, weight });
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        self.old.remove(key);
        if let Some(entry) = self.young.remove(key) {
            self.young_weight -= entry.weight;
        }
    }

    /// Forgets the keys that are not to be kept. Takes a look at each.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&K) -> bool) {
        self.old.retain(|key, _| is_kept(key));
        self.young.retain(|key, _| is_kept(key));
        self.young_weight = self.young.values().map(|entry| entry.weight).sum();
    }

    /// Puts in an entry whose key is in neither half.
    fn insert_entry(&mut self, key: K, entry: Weighed<V>) {
        if entry.weight > self.half {
            return;
        }
        if self.young_weight + entry.weight > self.half {
            self.old = mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += entry.weight;
        self.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_recently_survives_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        recent.insert(0, 'a', 1);
        for other in 1..100 {
            recent.insert(other, 'b', 1);
            assert_eq!(recent.get(&0), Some(&'a'), "after {other} insertions");
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&99), Some(&'b'));
    }

    #[test]
    fn the_bound_holds_whatever_comes() {
        let mut recent = Recent::new(16);
        for key in 0..1_000_u32 {
            let weight = usize::try_from(key % 10).unwrap();
            recent.insert(key, key, weight);
            recent.get(&(key / 2));
            recent.insert(key - key % 3, key, 2);
            if key % 50 == 0 {
                recent.retain(|key| key % 2 == 0);
                assert_eq!(recent.get(&(key + 1 - key % 2)), None);
            }
            let halves = recent.young.values().chain(recent.old.values());
            assert!(halves.map(|entry| entry.weight).sum::<usize>() <= 16);
            let young: usize = recent.young.values().map(|entry| entry.weight).sum();
            assert_eq!(young, recent.young_weight);
        }
        let mut nothing = Recent::new(0);
        nothing.insert(1, 1, 1);
        assert_eq!(nothing.get(&1), None);
    }

    #[test]
    fn a_new_value_replaces_the_old_one_wherever_it_is() {
        let mut recent = Recent::new(4);
        recent.insert(1, 'a', 1);
        recent.insert(2, 'a', 1);
        recent.insert(3, 'a', 1);
        recent.insert(1, 'b', 1);
        assert_eq!(recent.get(&1), Some(&'b'));
        recent.insert(1, 'c', 1);
        assert_eq!(recent.get(&1), Some(&'c'));
    }
}
