//! Whether a user has to do with somebody who writes to them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::base::{Seq, limits};
use crate::identity::Standing;
use crate::policy::{Served, answers_for};
use crate::store::{
    Cursor, Entry, Expect, PageBudget, StateChange, StateTable, Store, StoreError, Vouched,
};
use crate::verify::Recent;
use crate::wire::{FilterBuilder, PublicKey, Record, TagsBuilder};

/// Knows which writers are no strangers to which users.
///
/// A user knows a writer whom a record of the user's that is stored here notifies, or of whom the
/// operator once released a record to the user. Replies and mentions count as far as they notify:
/// that tag is what brings a record to its reader, so whoever answers somebody sets it. The record has
/// to be the user's word: its signer is known to be the user's, and not revoked by now.
///
/// Answers are kept at hand, a bounded number of them; what is stored or released meanwhile
/// corrects them, and those of a user are forgotten when a key schedule of the user comes in. To find
/// one anew costs a look at one value of the state, and a scan of the index, which is bounded for each
/// record: see [`Inquiry`].
pub(in crate::server) struct Acquaintances {
    store: Store,
    answers: Mutex<Recent<Pair, bool>>,
    /// Whose scan was cut off, and when.
    unclear: Mutex<Recent<Pair, Instant>>,
}

/// What is asked about the writer of one record. All its scans together cost at most
/// [`limits::MODERATION_SCAN_MAX_COST_KEYS`]: everybody's records wait for them.
///
/// Who is not found by then counts as a stranger. Where a scan had all of that to itself and was cut
/// off, it is not tried again for [`limits::MODERATION_SCAN_PAUSE`], so that the next record has it
/// for the next pair.
pub(in crate::server) struct Inquiry<'a> {
    acquaintances: &'a Acquaintances,
    now: Instant,
    left: PageBudget,
}

/// How a scan ended.
enum Found {
    Known,
    Stranger,
    /// It was cut off.
    Unclear,
}

/// A user and a writer.
type Pair = (PublicKey, PublicKey);

impl Acquaintances {
    pub(in crate::server) fn new(store: Store) -> Self {
        Self {
            store,
            answers: Mutex::new(Recent::new(limits::ACQUAINTANCES_MAX)),
            unclear: Mutex::new(Recent::new(limits::ACQUAINTANCES_MAX)),
        }
    }

    /// Begins to ask about the writer of one record.
    pub(in crate::server) fn inquiry(&self, now: Instant) -> Inquiry<'_> {
        Inquiry {
            acquaintances: self,
            now,
            left: PageBudget {
                rows: 1,
                cost_keys: limits::MODERATION_SCAN_MAX_COST_KEYS,
                ..PageBudget::default()
            },
        }
    }

    /// Takes note of a record that is stored from now on: where it is its author's word, the author
    /// knows whom it notifies. Whether it is may cost a look into the store, so that is asked last.
    pub(in crate::server) fn stored(
        &self,
        record: &Record,
        served: &dyn Served,
        is_authors_word: impl FnOnce() -> bool,
    ) {
        let record = record.view();
        let author = record.author();
        let mut notified = record.notifies().peekable();
        if notified.peek().is_none() || !served.contains(&author) || !is_authors_word() {
            return;
        }
        let mut answers = self.answers();
        for writer in notified.take(limits::ACQUAINTED_AT_ONCE_MAX) {
            answers.insert((author, writer), true, 1);
        }
    }

    /// Takes note that these records were released.
    pub(in crate::server) fn released<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) {
        let mut answers = self.answers();
        for entry in entries {
            for pair in pairs_of(entry) {
                answers.insert(pair, true, 1);
            }
        }
    }

    /// Finds anew from here on whom these users know: which keys speak for them may have changed.
    ///
    /// Everything at hand is looked through, half a millisecond when that is much; so all of a batch
    /// come at once.
    pub(in crate::server) fn forget(&self, users: &BTreeSet<PublicKey>) {
        if users.is_empty() {
            return;
        }
        self.answers().retain(|(whose, _)| !users.contains(whose));
        self.unclear().retain(|(whose, _)| !users.contains(whose));
    }

    // Nothing in there is half done when a thread panics: each entry is replaced whole.
    fn answers(&self) -> MutexGuard<'_, Recent<Pair, bool>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unclear(&self) -> MutexGuard<'_, Recent<Pair, Instant>> {
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inquiry<'_> {
    /// Whether `writer` is no stranger to `user`. May read the store. Where that fails, that is
    /// traced, and they are strangers: then an operator looks at the record.
    ///
    /// `is_theirs` says whether a stored record is the word of its author by now.
    pub(in crate::server) fn knows(
        &mut self,
        user: &PublicKey,
        writer: &PublicKey,
        is_theirs: &dyn Fn(&Entry) -> bool,
    ) -> bool {
        let (pair, all) = ((*user, *writer), self.acquaintances);
        if let Some(answer) = all.answers().get(&pair) {
            return *answer;
        }
        let answer = match self.find(user, writer, is_theirs) {
            Ok(Found::Known) => true,
            Ok(Found::Stranger) => false,
            Ok(Found::Unclear) => return false,
            Err(error) => {
                tracing::error!(%error, "the store cannot tell who knows whom");
                return false;
            }
        };
        all.answers().insert(pair, answer, 1);
        answer
    }

    fn find(
        &mut self,
        user: &PublicKey,
        writer: &PublicKey,
        is_theirs: &dyn Fn(&Entry) -> bool,
    ) -> Result<Found, StoreError> {
        let store = &self.acquaintances.store;
        let released = store.state_value(StateTable::Setting, &key_of(user, writer))?;
        if released.is_some() {
            return Ok(Found::Known);
        }
        if self.left.cost_keys == 0 || self.was_cut_off(&(*user, *writer)) {
            return Ok(Found::Unclear);
        }
        let filter = FilterBuilder::new()
            .authors([*user])
            .tags(TagsBuilder::new().notify(*writer));
        let filter = match filter.build() {
            Ok(filter) => filter,
            Err(error) => unreachable!("a filter of one author and one tag: {error}"),
        };
        let had_all = self.left.cost_keys == limits::MODERATION_SCAN_MAX_COST_KEYS;
        let mut cursor = Cursor::new(filter, Seq::MAX);
        let counts = |entry: &Entry| !entry.held && is_theirs(entry);
        let began = Instant::now();
        let page = store.page(&mut cursor, &counts, self.left)?;
        self.left.time = self.left.time.saturating_sub(began.elapsed());
        self.left.cost_keys = self.left.cost_keys.saturating_sub(page.cost_keys);
        if !page.entries.is_empty() {
            return Ok(Found::Known);
        }
        if page.done {
            return Ok(Found::Stranger);
        }
        if had_all {
            let pair = (*user, *writer);
            self.acquaintances.unclear().insert(pair, self.now, 1);
        }
        // It used up what was left, of the time if not of the keys.
        self.left.cost_keys = 0;
        Ok(Found::Unclear)
    }

    fn was_cut_off(&self, pair: &Pair) -> bool {
        let mut unclear = self.acquaintances.unclear();
        unclear.get(pair).is_some_and(|then| {
            self.now.saturating_duration_since(*then) < limits::MODERATION_SCAN_PAUSE
        })
    }
}

impl fmt::Debug for Acquaintances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquaintances").finish_non_exhaustive()
    }
}

/// What has to be remembered when these records are released: from then on their writers are no
/// strangers to those who are notified.
pub(in crate::server) fn changes_of<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Vec<StateChange> {
    let mut changes: Vec<StateChange> = Vec::new();
    for (user, writer) in entries.into_iter().flat_map(pairs_of) {
        let key = key_of(&user, &writer);
        if changes.iter().all(|change| change.key != key) {
            changes.push(StateChange {
                table: StateTable::Setting,
                key,
                value: Some(Vec::new()),
                expect: Expect::Any,
            });
        }
    }
    changes
}

/// Whom the release of a record makes acquainted: those who are charged for it, who are the served
/// users that it notifies, with whoever answers for it.
fn pairs_of(entry: &Entry) -> impl Iterator<Item = Pair> {
    let standing = match entry.vouched {
        Vouched::Master => Standing::Master,
        Vouched::Subkey => Standing::Subkey,
        Vouched::Unknown => Standing::Unknown,
    };
    let writer = answers_for(entry.record.view(), standing);
    entry
        .charged
        .iter()
        .map(move |charged| (charged.user, writer))
}

/// Where it is remembered that a record of `writer` was released to `user`.
fn key_of(user: &PublicKey, writer: &PublicKey) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(user.as_bytes());
    key.extend_from_slice(writer.as_bytes());
    key
}

/// What the keys begin with, for other settings share their table.
const PREFIX: &[u8] = b"knows/";

const _: () = assert!(PREFIX.len() + 64 <= limits::STATE_KEY_MAX_BYTES);
