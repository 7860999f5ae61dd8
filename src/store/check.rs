//! Reading everything again and holding it against itself, for `store verify`.

use std::fmt;

use super::{
    BlobTotal, Store,
    act::{ActBody, Effect, StateTable},
    blobs::Tally,
    counts::{Counts, Item},
    error::StoreError,
    keys::{self, IndexKey, Table},
    record_format::{Header, LogEntry},
    recount::{Difference, Recount},
    usage::Usage,
    view::{Order, ValueResult, View},
};
use crate::{
    base::{Seq, limits},
    wire::{PublicKey, RecordRef, Timestamp},
};

/// Checks hashes and signatures, of several records at a time as that takes half the time; one
/// answer for each, with the reason where a record is not what its author signed.
///
/// Given from outside: the store keeps bytes, and what makes a record authentic is not its own.
pub type Inspect<'a> = dyn FnMut(&[RecordRef<'_>]) -> Vec<Result<(), String>> + 'a;

/// What reading everything found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries of the log that were read.
    pub entries: u64,
    /// What was counted on the way.
    pub counts: Counts,
    /// What BLOBs there are.
    pub blobs: BlobTotal,
    /// What is wrong, the first of it.
    pub problems: Vec<Problem>,
    /// How much is wrong in all.
    pub problems_total: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The log has no entry at a place before its tail.
    MissingEntry(Seq),
    /// The entry cannot be read: its bytes on disk fail their checksum, most likely.
    UnreadableEntry(Seq, String),
    /// The entry, or the record in it, has no valid structure.
    MalformedEntry(Seq),
    /// The record is not what its author signed, or breaks the rules of its kind; the text says how.
    InvalidRecord(Seq, String),
    /// The entry was received before the one in front of it.
    ReceivedBackwards(Seq),
    /// The record here was replaced or removed by an entry that is not behind it.
    ReplacedByNothing(Seq),
    /// The BLOB of this entry is not what its hash says; the text says how.
    WrongBlob(Seq, String),
    /// A count of BLOBs is wrong.
    WrongBlobCount,
    /// There are chunks of a BLOB that nothing in the log asks for.
    StrayChunks,
    /// The entry says of an entry that is not a removed BLOB's that it is.
    RemovedNothing(Seq),
    /// The act here says what became of the record there, and that is not what is there.
    ActWithoutEffect(Seq, Seq),
    /// A key of the record is not in the index: some queries do not find the record.
    MissingKey(Seq, Table),
    /// A key is in the index that nothing in the log asks for.
    StrayKey(Seq, Table),
    /// A key of the index is none.
    ForeignKey,
    /// The index cannot be read to its end.
    UnreadableIndex(String),
    /// The value under a key of the state is not what the acts in the log made it.
    WrongState(StateTable, Vec<u8>),
    /// A user's account is wrong: what is stored in it, and what was counted.
    WrongUsage(Box<(PublicKey, Usage, Usage)>),
    /// A key of the state is none, or its value is none.
    ForeignState,
    /// The state cannot be read to its end.
    UnreadableState(String),
    /// The counters are wrong: what is stored in them, and what was counted.
    WrongCounts(Box<(Counts, Counts)>),
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The log, with the signature and the index keys of each record.
    Log,
    /// The index, counting its keys.
    Index,
    /// The index again, for the keys that are too many.
    StrayKeys,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being read.
    pub pass: Pass,
    /// Entries or keys that were read.
    pub done: u64,
    /// Entries or keys there are, as far as is known.
    pub total: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problems_total == 0
    }

    fn note(&mut self, problem: Problem) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED {
            self.problems.push(problem);
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingEntry(seq) => write!(f, "entry {seq} is missing"),
            Self::UnreadableEntry(seq, why) => write!(f, "entry {seq} cannot be read: {why}"),
            Self::MalformedEntry(seq) => write!(f, "entry {seq} is malformed"),
            Self::InvalidRecord(seq, why) => write!(f, "record of entry {seq} is invalid: {why}"),
            Self::ReceivedBackwards(seq) => {
                write!(
                    f,
                    "entry {seq} was received before the entry in front of it"
                )
            }
            Self::ReplacedByNothing(seq) => {
                write!(
                    f,
                    "entry {seq} was replaced by an entry that is not behind it"
                )
            }
            Self::WrongBlob(seq, why) => write!(f, "BLOB of entry {seq} is damaged: {why}"),
            Self::WrongBlobCount => f.write_str("a count of BLOBs is wrong"),
            Self::StrayChunks => f.write_str("there are chunks of a BLOB that is not in the log"),
            Self::RemovedNothing(seq) => {
                write!(f, "entry {seq} removes a BLOB that is not before it")
            }
            Self::ActWithoutEffect(seq, from) => {
                write!(f, "act of entry {seq} is not what became of entry {from}")
            }
            Self::MissingKey(seq, table) => {
                write!(f, "entry {seq} is not in the index by {table:?}")
            }
            Self::StrayKey(seq, table) => {
                write!(
                    f,
                    "index by {table:?} has a key for entry {seq} that is not due"
                )
            }
            Self::ForeignKey => f.write_str("index has a key of unknown form"),
            Self::UnreadableIndex(why) => write!(f, "index cannot be read: {why}"),
            Self::WrongState(table, key) => {
                let key = String::from_utf8_lossy(key);
                write!(
                    f,
                    "state of {table:?} under {key:?} is not what the log makes it"
                )
            }
            Self::WrongUsage(usage) => {
                let (user, stored, counted) = usage.as_ref();
                write!(f, "account of {user} says {stored:?}, there is {counted:?}")
            }
            Self::ForeignState => f.write_str("state has a key or a value of unknown form"),
            Self::UnreadableState(why) => write!(f, "state cannot be read: {why}"),
            Self::WrongCounts(counts) => {
                let (stored, counted) = counts.as_ref();
                write!(f, "counters say {stored:?}, there is {counted:?}")
            }
        }
    }
}

impl Store {
    /// Reads the whole store as it is now: every record's structure, hash and signature; the log
    /// without a gap and in the order of *received*; every record in every index, and nothing else
    /// there; the state and the accounts of users, against what the log makes them; the counters.
    /// Calls `progress` now and then.
    ///
    /// Writing goes on meanwhile and is not looked at.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not even begin to answer. Anything less is a
    /// [`Problem`] of the report.
    pub fn verify(
        &self,
        inspect: &mut Inspect<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, StoreError> {
        let view = View::passing(&self.shared.db, self.tail());
        let mut check = Check {
            view: &view,
            report: Report::default(),
            recount: Recount::default(),
            inspect,
            last_received: Timestamp::MIN,
            blobs: Tally::default(),
            missing_keys: 0,
            reads_index: true,
            progress,
        };
        check.log()?;
        if check.reads_index {
            check.index()?;
        }
        check.report.blobs = check.blobs.totals();
        for problem in check.blobs.finish(&view)? {
            check.report.note(problem);
        }
        check.state();
        let stored = view.counts()?;
        let counted = check.report.counts;
        if stored != counted {
            check
                .report
                .note(Problem::WrongCounts(Box::new((stored, counted))));
        }
        Ok(check.report)
    }
}

struct Check<'a, 'v> {
    view: &'a View<'v>,
    report: Report,
    recount: Recount,
    inspect: &'a mut Inspect<'a>,
    last_received: Timestamp,
    blobs: Tally,
    missing_keys: u64,
    /// Whether the index could be read so far.
    reads_index: bool,
    progress: &'a mut dyn FnMut(Progress),
}

impl Check<'_, '_> {
    fn log(&mut self) -> Result<(), StoreError> {
        let tail = self.view.tail();
        let mut next = Seq::new(1);
        while next <= tail {
            let end = tail.get().min(next.get().saturating_add(CHUNK_ENTRIES - 1));
            let seqs: Vec<Seq> = (next.get()..=end).map(Seq::new).collect();
            let values = self.view.try_values(&seqs)?;
            self.entries(&seqs, &values);
            next = Seq::new(end).next();
            self.tell(Pass::Log, end, tail.get());
        }
        Ok(())
    }

    /// Checks some entries; their signatures together, which takes half the time.
    fn entries(&mut self, seqs: &[Seq], values: &[ValueResult<'_>]) {
        let mut records = Vec::with_capacity(seqs.len());
        let mut keys = Vec::new();
        for (seq, value) in seqs.iter().zip(values) {
            match value {
                Err(error) => {
                    let why = super::writer::reason(error);
                    self.report.note(Problem::UnreadableEntry(*seq, why));
                }
                Ok(None) => self.report.note(Problem::MissingEntry(*seq)),
                Ok(Some(value)) => records.extend(self.entry(*seq, value, &mut keys)),
            }
        }
        let views: Vec<RecordRef<'_>> = records.iter().map(|(_, record)| *record).collect();
        for ((seq, _), outcome) in records.iter().zip((self.inspect)(&views)) {
            if let Err(why) = outcome {
                self.report.note(Problem::InvalidRecord(*seq, why));
            }
        }
        self.expect_keys(keys);
    }

    /// Holds the state against what the log makes it.
    fn state(&mut self) {
        let report = &mut self.report;
        let mut tell = |difference| {
            report.note(match difference {
                Difference::Value(table, key) => Problem::WrongState(table, key),
                Difference::Usage(user, stored, counted) => {
                    Problem::WrongUsage(Box::new((user, stored, counted)))
                }
                Difference::Foreign => Problem::ForeignState,
            });
        };
        let recount = std::mem::take(&mut self.recount);
        if let Err(error) = recount.compare(self.view, &mut tell) {
            let why = super::writer::reason(&error);
            self.report.note(Problem::UnreadableState(why));
        }
    }

    /// Checks one entry as far as it goes without its signature; returns the record in it, and adds
    /// the keys that are due.
    fn entry<'e>(
        &mut self,
        seq: Seq,
        value: &'e [u8],
        keys: &mut Vec<IndexKey>,
    ) -> Option<(Seq, RecordRef<'e>)> {
        let Ok(entry) = LogEntry::decode(value) else {
            self.report.note(Problem::MalformedEntry(seq));
            return None;
        };
        self.report.entries += 1;
        if entry.received() < self.last_received {
            self.report.note(Problem::ReceivedBackwards(seq));
        }
        self.last_received = entry.received();
        let due = keys_due(self.view, &entry, seq);
        let counts = &mut self.report.counts;
        match entry {
            LogEntry::Record(header, record) => {
                counts.add(Item {
                    roles: header.roles,
                    bytes: record.bytes().len(),
                    keys: due.len(),
                    held: header.held,
                });
                self.recount.record(&header, &record);
                keys.extend(due);
                return Some((seq, record));
            }
            LogEntry::User { .. } => {
                counts.users += 1;
                counts.index_keys += due.len() as u64;
            }
            LogEntry::Act { body, .. } => {
                counts.acts += 1;
                counts.removed += body.removed().count() as u64;
                counts.index_keys += due.len() as u64;
                self.recount.act(&body);
                self.effects(seq, &body);
            }
            LogEntry::Gone { by, .. } => {
                self.report.counts.gone += 1;
                if by <= seq || by > self.view.tail() {
                    self.report.note(Problem::ReplacedByNothing(seq));
                }
            }
            LogEntry::Blob(header) => {
                self.report.counts.index_keys += 1;
                let problem = self.blobs.blob(self.view, seq, &header);
                problem.into_iter().for_each(|it| self.report.note(it));
            }
            LogEntry::BlobGone(gone) => {
                let of = self.view.values(&[gone.of]);
                let is_gone = |value| {
                    let left = LogEntry::decode(value);
                    matches!(left, Ok(LogEntry::Gone { by, .. }) if by == seq)
                };
                let value = of.as_ref().ok().and_then(|values| values.first());
                if gone.of >= seq || !value.is_some_and(|value| is_gone(value)) {
                    self.report.note(Problem::RemovedNothing(seq));
                }
            }
        }
        keys.extend(due);
        None
    }

    /// Checks that the records which an act changed left their places to what the act says.
    fn effects(&mut self, act: Seq, body: &ActBody) {
        let expected: Vec<(Seq, Seq)> = body
            .effects
            .iter()
            .map(|effect| match *effect {
                Effect::Released { from, to, .. } => (from, to),
                Effect::Dropped { from, .. } | Effect::Removed { from, .. } => (from, act),
            })
            .collect();
        let places: Vec<Seq> = expected.iter().map(|(from, _)| *from).collect();
        let Ok(values) = self.view.try_values(&places) else {
            return;
        };
        for ((from, expected), value) in expected.into_iter().zip(values) {
            let entry = value.ok().flatten();
            let entry = entry.as_ref().map(|value| LogEntry::decode(value));
            let is_so = matches!(entry, Some(Ok(LogEntry::Gone { by, .. })) if by == expected);
            if !is_so {
                self.report.note(Problem::ActWithoutEffect(act, from));
            }
        }
    }

    /// Checks that the index has every one of these keys.
    fn expect_keys(&mut self, mut keys: Vec<IndexKey>) {
        if !self.reads_index {
            return;
        }
        keys.sort_unstable();
        match self.view.have_keys(&keys) {
            Ok(are_there) => {
                for (key, is_there) in keys.iter().zip(are_there) {
                    if let (false, Some((table, seq))) = (is_there, keys::parts(key)) {
                        self.missing_keys += 1;
                        self.report.note(Problem::MissingKey(seq, table));
                    }
                }
            }
            Err(error) => {
                self.reads_index = false;
                let why = super::writer::reason(&error);
                self.report.note(Problem::UnreadableIndex(why));
            }
        }
    }

    /// Counts the keys of the index. Every key that is due was asked for already, so if there are
    /// as many, they are the same; only if there are more is each of them looked at.
    fn index(&mut self) -> Result<(), StoreError> {
        let due = self.report.counts.index_keys - self.missing_keys;
        let mut found = 0;
        let whole = self.each_key(Pass::Index, due, &mut |_, key| {
            found += 1;
            keys::parts(key)
                .is_some()
                .then_some(())
                .ok_or(Problem::ForeignKey)
        })?;
        if whole && found != due {
            self.each_key(
                Pass::StrayKeys,
                found,
                &mut |view, key| match keys::parts(key) {
                    Some((table, seq)) if !is_due(view, key, seq) => {
                        Err(Problem::StrayKey(seq, table))
                    }
                    _ => Ok(()),
                },
            )?;
        }
        Ok(())
    }

    /// Runs `look` over every key of the index. False if they cannot be read to the end.
    fn each_key(
        &mut self,
        pass: Pass,
        total: u64,
        look: &mut Look<'_>,
    ) -> Result<bool, StoreError> {
        let mut keys = self.view.index(Order::Total)?;
        let mut done: u64 = 0;
        keys.seek(&[]);
        loop {
            match keys.key() {
                Ok(None) => break,
                Ok(Some(key)) => {
                    if let Err(problem) = look(self.view, key) {
                        self.report.note(problem);
                    }
                }
                Err(error) => {
                    let why = super::writer::reason(&error);
                    self.report.note(Problem::UnreadableIndex(why));
                    return Ok(false);
                }
            }
            done += 1;
            if done.is_multiple_of(KEYS_BETWEEN_PROGRESS) {
                self.tell(pass, done, total);
            }
            keys.step();
        }
        self.tell(pass, done, total);
        Ok(true)
    }

    fn tell(&mut self, pass: Pass, done: u64, total: u64) {
        (self.progress)(Progress { pass, done, total });
    }
}

/// Looks at one key of the index.
type Look<'a> = dyn FnMut(&View<'_>, &[u8]) -> Result<(), Problem> + 'a;

/// Whether the entry at `seq` asks for `key`.
fn is_due(view: &View<'_>, key: &[u8], seq: Seq) -> bool {
    let Ok(values) = view.values(&[seq]) else {
        return false;
    };
    match values.first().map(|value| LogEntry::decode(value)) {
        Some(Ok(entry)) => keys_due(view, &entry, seq).iter().any(|due| due == key),
        _ => false,
    }
}

/// The keys that the entry at `seq` asks for.
fn keys_due(view: &View<'_>, entry: &LogEntry<'_>, seq: Seq) -> Vec<IndexKey> {
    let secret = view.secret();
    match entry {
        LogEntry::Record(Header { held, .. }, record) => secret.entry_keys(record, *held, seq),
        LogEntry::User { received, user } => vec![secret.user_key(user, *received, seq)],
        LogEntry::Act { body, .. } => secret.act_keys(body.removed(), seq),
        LogEntry::Blob(blob) => vec![secret.blob_key(&blob.hash, blob.received, seq)],
        LogEntry::Gone { .. } | LogEntry::BlobGone(_) => Vec::new(),
    }
}

/// Problems that are listed; the rest is counted.
const PROBLEMS_LISTED: usize = 100;

/// Entries that are read and verified together.
const CHUNK_ENTRIES: u64 = limits::VERIFY_BATCH_MAX_RECORDS as u64;

const KEYS_BETWEEN_PROGRESS: u64 = 1 << 16;
