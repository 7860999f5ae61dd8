//! Reading everything again and holding it against itself, for `store verify`.

use std::fmt;

use super::{
    BlobTotal, Store,
    blobs::Tally,
    counts::{Counts, Item},
    error::StoreError,
    keys::{self, IndexKey, Table},
    record_format::{Header, LogEntry},
    view::{Order, ValueResult, View},
};
use crate::{
    base::{Seq, limits},
    wire::{RecordRef, Timestamp},
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
    /// The record here was replaced by an entry that is not behind it.
    ReplacedByNothing(Seq),
    /// The BLOB of this entry is not what its hash says; the text says how.
    WrongBlob(Seq, String),
    /// A count of BLOBs is wrong.
    WrongBlobCount,
    /// There are chunks of a BLOB that nothing in the log asks for.
    StrayChunks,
    /// The entry says of an entry that is not a removed BLOB's that it is.
    RemovedNothing(Seq),
    /// A key of the record is not in the index: some queries do not find the record.
    MissingKey(Seq, Table),
    /// A key is in the index that nothing in the log asks for.
    StrayKey(Seq, Table),
    /// A key of the index is none.
    ForeignKey,
    /// The index cannot be read to its end.
    UnreadableIndex(String),
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
    /// there; the counters. Calls `progress` now and then.
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
        for (seq, value) in seqs.iter().zip(values) {
            match value {
                Err(error) => {
                    let why = super::writer::reason(error);
                    self.report.note(Problem::UnreadableEntry(*seq, why));
                }
                Ok(None) => self.report.note(Problem::MissingEntry(*seq)),
                Ok(Some(value)) => records.extend(self.entry(*seq, value)),
            }
        }
        let views: Vec<RecordRef<'_>> = records.iter().map(|(_, record)| *record).collect();
        for ((seq, _), outcome) in records.iter().zip((self.inspect)(&views)) {
            if let Err(why) = outcome {
                self.report.note(Problem::InvalidRecord(*seq, why));
            }
        }
        let secret = self.view.secret();
        let keys = |(seq, record): &(Seq, RecordRef<'_>)| secret.record_keys(record, *seq);
        self.expect_keys(records.iter().flat_map(keys).collect());
    }

    /// Checks one entry as far as it goes without its signature; returns the record in it.
    fn entry<'e>(&mut self, seq: Seq, value: &'e [u8]) -> Option<(Seq, RecordRef<'e>)> {
        let Ok(entry) = LogEntry::decode(value) else {
            self.report.note(Problem::MalformedEntry(seq));
            return None;
        };
        self.report.entries += 1;
        if entry.received() < self.last_received {
            self.report.note(Problem::ReceivedBackwards(seq));
        }
        self.last_received = entry.received();
        match entry {
            LogEntry::Record(Header { roles, .. }, record) => {
                let secret = self.view.secret();
                self.report.counts.add(Item {
                    roles,
                    bytes: record.bytes().len(),
                    keys: secret.record_keys(&record, seq).len(),
                });
                return Some((seq, record));
            }
            LogEntry::User { received, user } => {
                self.report.counts.users += 1;
                self.report.counts.index_keys += 1;
                let key = self.view.secret().user_key(&user, received, seq);
                self.expect_keys(vec![key]);
            }
            LogEntry::Gone { by, .. } => {
                self.report.counts.gone += 1;
                if by <= seq || by > self.view.tail() {
                    self.report.note(Problem::ReplacedByNothing(seq));
                }
            }
            LogEntry::Blob(header) => {
                self.report.counts.index_keys += 1;
                let secret = self.view.secret();
                let key = secret.blob_key(&header.hash, header.received, seq);
                let problem = self.blobs.blob(self.view, seq, &header);
                problem.into_iter().for_each(|it| self.report.note(it));
                self.expect_keys(vec![key]);
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
        None
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
    let secret = view.secret();
    match values.first().map(|value| LogEntry::decode(value)) {
        Some(Ok(LogEntry::Record(_, record))) => secret
            .record_keys(&record, seq)
            .iter()
            .any(|due| due == key),
        Some(Ok(LogEntry::Blob(blob))) => secret.blob_key(&blob.hash, blob.received, seq) == key,
        Some(Ok(LogEntry::User { received, user })) => secret.user_key(&user, received, seq) == key,
        _ => false,
    }
}

/// Problems that are listed; the rest is counted.
const PROBLEMS_LISTED: usize = 100;

/// Entries that are read and verified together.
const CHUNK_ENTRIES: u64 = limits::VERIFY_BATCH_MAX_RECORDS as u64;

const KEYS_BETWEEN_PROGRESS: u64 = 1 << 16;
