//! The inverted index: from one element of a record to the subscriptions that ask for it.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use crate::wire::{Filter, RecordRef};

/// Number of one registered subscription; never used twice.
pub(super) type SubscriptionId = u64;

/// Members (subscriptions) under the narrowest element of their filter.
///
/// A member is found under each value of that one element, so a record finds every member whose
/// filter can match it, and some whose filter does not: the caller asks the filter. Members whose
/// filter has no narrow element are in a list that every record looks through.
pub(super) struct Index<M> {
    /// Keyed by a hash of element and value. The hash is keyed at random, so a peer cannot choose
    /// values that collide; values that collide by chance only cost a look at the filter.
    buckets: HashMap<u64, BTreeMap<SubscriptionId, M>>,
    scan: BTreeMap<SubscriptionId, M>,
    hasher: RandomState,
    tag_buckets: usize,
}

/// The elements that members are found under.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Element {
    Timestamp,
    Author,
    Tag,
    Signer,
    Kind,
}

impl<M: Clone> Index<M> {
    pub(super) fn new() -> Self {
        Self {
            buckets: HashMap::new(),
            scan: BTreeMap::new(),
            hasher: RandomState::new(),
            tag_buckets: 0,
        }
    }

    /// Puts a member under the narrowest element of `filter`.
    pub(super) fn insert(&mut self, id: SubscriptionId, filter: &Filter, member: &M) {
        let Some((element, keys)) = self.keys(filter) else {
            self.scan.insert(id, member.clone());
            return;
        };
        for key in keys {
            let bucket = self.buckets.entry(key).or_default();
            if bucket.is_empty() && element == Element::Tag {
                self.tag_buckets = self.tag_buckets.saturating_add(1);
            }
            bucket.insert(id, member.clone());
        }
    }

    /// Removes the member that was put in with the same number and filter.
    pub(super) fn remove(&mut self, id: SubscriptionId, filter: &Filter) {
        let Some((element, keys)) = self.keys(filter) else {
            self.scan.remove(&id);
            return;
        };
        for key in keys {
            let Some(bucket) = self.buckets.get_mut(&key) else {
                continue;
            };
            bucket.remove(&id);
            if bucket.is_empty() {
                self.buckets.remove(&key);
                if element == Element::Tag {
                    self.tag_buckets = self.tag_buckets.saturating_sub(1);
                }
            }
        }
    }

    /// Calls `visit` with every member whose filter can match the record, and perhaps others. A
    /// member may be visited more than once: a record can carry several of the tags it asks for.
    pub(super) fn candidates(&self, record: &RecordRef<'_>, mut visit: impl FnMut(&M)) {
        self.scan.values().for_each(&mut visit);
        if self.buckets.is_empty() {
            return;
        }
        let timestamp = record.timestamp().to_bytes();
        let kind = record.kind().to_bytes();
        let (author, signer) = (record.author(), record.signer());
        self.visit(Element::Timestamp, &timestamp, &mut visit);
        self.visit(Element::Author, author.as_bytes(), &mut visit);
        self.visit(Element::Signer, signer.as_bytes(), &mut visit);
        self.visit(Element::Kind, &kind, &mut visit);
        // A record may carry thousands of tags, and often nobody asks for any tag.
        if self.tag_buckets > 0 {
            for tag in record.tags() {
                self.visit(Element::Tag, tag.bytes(), &mut visit);
            }
        }
    }

    /// Whether nothing is registered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.scan.is_empty() && self.tag_buckets == 0
    }

    fn visit(&self, element: Element, value: &[u8], visit: &mut impl FnMut(&M)) {
        if let Some(bucket) = self.buckets.get(&self.key(element, value)) {
            bucket.values().for_each(visit);
        }
    }

    /// The narrowest element of `filter` and the keys of its values; `None` where it has none.
    /// An exact time is the narrowest, a kind the widest. A filter's size bounds the keys.
    fn keys(&self, filter: &Filter) -> Option<(Element, Vec<u64>)> {
        if let Some(timestamps) = filter.timestamps() {
            let values = timestamps.iter().map(|timestamp| timestamp.to_bytes());
            return Some(self.keys_of(Element::Timestamp, values));
        }
        if let Some(authors) = filter.authors() {
            return Some(self.keys_of(Element::Author, authors));
        }
        // Each set of tags is one more condition: the shortest promises the fewest candidates.
        let tag_sets = filter.included_tags().iter();
        if let Some(tags) = tag_sets.min_by_key(|set| set.iter().count()) {
            let values = tags.iter().map(|tag| tag.bytes().to_vec());
            return Some(self.keys_of(Element::Tag, values));
        }
        if let Some(signers) = filter.signers() {
            return Some(self.keys_of(Element::Signer, signers));
        }
        let kinds = filter.kinds()?;
        Some(self.keys_of(Element::Kind, kinds))
    }

    fn keys_of<V: AsRef<[u8]>>(
        &self,
        element: Element,
        values: impl IntoIterator<Item = V>,
    ) -> (Element, Vec<u64>) {
        let values = values.into_iter();
        let keys = values.map(|value| self.key(element, value.as_ref()));
        (element, keys.collect())
    }

    fn key(&self, element: Element, value: &[u8]) -> u64 {
        self.hasher.hash_one((element, value))
    }
}
