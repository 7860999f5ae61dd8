//! A store with a writer whose judge does what the test says.

use std::{
    collections::{HashSet, VecDeque},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    base::{Role, RoleSet, Seq},
    store::{
        Act, Acted, Charge, Cursor, Entry, Judge, Judgement, Outcome, PageBudget, RecordChange,
        Store, StoreOptions, Vouched, Writer,
    },
    verify::Verifier,
    wire::{
        Duplicates, Filter, Kind, PublicKey, Record, RecordBuilder, RecordId, RecordRef,
        ResultCode, SecretKey, TagsBuilder, Timestamp,
    },
};

/// A kind of application 99 with those flags.
pub(super) fn kind(number: u16, duplicates: u64) -> Kind {
    Kind::new((99 << 32) | (u64::from(number) << 16) | 0b1_1100 | duplicates).unwrap()
}

pub(super) const UNIQUE: u64 = 0;
pub(super) const EPHEMERAL: u64 = 1;
pub(super) const REPLACEABLE: u64 = 2;
pub(super) const VERSIONED: u64 = 3;

/// The nth key.
pub(super) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

pub(super) fn time(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

/// A record of the nth author that the author signed.
pub(super) fn record(author: u8, kind: Kind, nanos: u64) -> Record {
    build(author, author, kind, nanos, 1, TagsBuilder::new(), b"")
}

pub(super) fn build(
    author: u8,
    signer: u8,
    kind: Kind,
    nanos: u64,
    nonce: u8,
    tags: TagsBuilder,
    payload: &[u8],
) -> Record {
    RecordBuilder::new(kind, key(author).public())
        .nonce([nonce | 0x80; 8])
        .timestamp(time(nanos))
        .tags(tags)
        .payload(payload.to_vec())
        .sign(&key(signer))
        .unwrap()
}

/// A source of arbitrary numbers that a seed repeats.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn small(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(u64::from(end))).unwrap()
    }
}

/// What the judge was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Published(Vec<u64>),
    Replied(&'static str),
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) log: Vec<Arc<Entry>>,
    pub(super) announced: Vec<Arc<Entry>>,
    pub(super) told: Vec<Told>,
    /// What later records may be judged by.
    pub(super) counted: Vec<RecordId>,
}

#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        drop(self.moved.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// What the judge is to decide about the next records, in their order, instead of what it would.
pub(super) type Decisions = Arc<Mutex<VecDeque<Decision>>>;

/// A decision; what it leaves open is as without it.
#[derive(Clone, Default)]
pub(super) struct Decision {
    pub(super) roles: Option<RoleSet>,
    pub(super) vouched: Option<Vouched>,
    pub(super) held: bool,
    pub(super) charges: Vec<Charge>,
}

pub(super) struct Clerk {
    store: Store,
    seen: Arc<Mutex<Seen>>,
    decisions: Decisions,
    gate: Arc<Gate>,
    entered: Sender<()>,
    subkeys: HashSet<PublicKey>,
}

impl Judge for Clerk {
    type Context = Sender<Outcome>;

    fn judge(&mut self, record: RecordRef<'_>, _: &Self::Context, _: Timestamp) -> Judgement {
        self.entered.send(()).unwrap();
        self.gate.pass();
        if record.payload() == b"refuse" {
            return Judgement::Refuse(ResultCode::TooFast);
        }
        assert_ne!(record.payload(), b"panic", "asked to");
        let is_own = record.author() == record.signer();
        let is_tagged = record.tags().next().is_some();
        let is_ephemeral = record.kind().duplicates() == Duplicates::Ephemeral;
        let decided = if is_ephemeral {
            None
        } else {
            self.decisions.lock().unwrap().pop_front()
        };
        let decided = decided.unwrap_or_default();
        let vouched = match (is_own, self.subkeys.contains(&record.signer())) {
            (true, _) => Vouched::Master,
            (false, true) => Vouched::Subkey,
            (false, false) => Vouched::Unknown,
        };
        Judgement::Store {
            roles: match decided.roles {
                Some(roles) => roles,
                None if is_tagged => RoleSet::of(Role::Inbox).with(Role::Outbox),
                None => RoleSet::of(Role::Outbox),
            },
            vouched: decided.vouched.unwrap_or(vouched),
            submitter: is_tagged.then(|| record.signer()),
            held: decided.held,
            charges: decided.charges,
        }
    }

    fn stored(&mut self, record: &Record) {
        self.seen.lock().unwrap().counted.push(record.id());
    }

    fn publish(&mut self, entries: &[Arc<Entry>]) {
        let mut seen = self.seen.lock().unwrap();
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
        assert!(seqs.iter().all(|seq| *seq <= self.store.tail().get()));
        seen.told.push(Told::Published(seqs));
        seen.log.extend(entries.iter().cloned());
    }

    fn announce(&mut self, entry: &Arc<Entry>) -> usize {
        self.seen.lock().unwrap().announced.push(Arc::clone(entry));
        3
    }

    fn reply(&mut self, context: Self::Context, outcome: Outcome) {
        let name = name_of(&outcome);
        self.seen.lock().unwrap().told.push(Told::Replied(name));
        let _whoever_asked_may_be_gone = context.send(outcome);
    }
}

pub(super) fn name_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Stored(_) => "stored",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Older(_) => "older",
        Outcome::Stays(_) => "stays",
        Outcome::Announced(_) => "announced",
        Outcome::Refused(_) => "refused",
        Outcome::OverQuota => "over quota",
        Outcome::Removed { .. } => "removed",
        Outcome::NoSpace => "no space",
        Outcome::Halted => "halted",
    }
}

/// A store in a directory of its own.
pub(super) struct Scene {
    pub(super) store: Store,
    pub(super) writer: Writer<Sender<Outcome>>,
    pub(super) seen: Arc<Mutex<Seen>>,
    decisions: Decisions,
    gate: Arc<Gate>,
    entered: Receiver<()>,
    pub(super) dir: TempDir,
}

/// The nth keys from here to 29 are subkeys of everybody.
pub(super) const SUBKEYS_FROM: u8 = 20;

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: StoreOptions) -> Self {
        Self::start(tempfile::tempdir().unwrap(), settings, Arc::default())
    }

    /// The store that is in a directory.
    pub(super) fn of(dir: TempDir) -> Self {
        Self::start(dir, settings(), Arc::default())
    }

    fn start(dir: TempDir, settings: StoreOptions, seen: Arc<Mutex<Seen>>) -> Self {
        let store = Store::open(dir.path(), settings).unwrap();
        let gate = Arc::new(Gate::default());
        let decisions = Decisions::default();
        let (sender, entered) = mpsc::channel();
        let clerk = Clerk {
            store: store.clone(),
            seen: Arc::clone(&seen),
            decisions: Arc::clone(&decisions),
            gate: Arc::clone(&gate),
            entered: sender,
            subkeys: (SUBKEYS_FROM..30).map(|n| key(n).public()).collect(),
        };
        let writer = Writer::spawn(store.clone(), clerk).unwrap();
        Self {
            store,
            writer,
            seen,
            decisions,
            gate,
            entered,
            dir,
        }
    }

    /// The same store after it was closed and opened again.
    pub(super) fn reopen(self) -> Self {
        self.writer.shutdown().unwrap();
        let Self {
            store, dir, seen, ..
        } = self;
        drop(store);
        Self::start(dir, settings(), seen)
    }

    /// The directory, after everything was closed.
    pub(super) fn close(self) -> TempDir {
        self.writer.shutdown().unwrap();
        self.store.close().unwrap();
        self.dir
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn send(&self, record: &Record) -> Receiver<Outcome> {
        let (sender, outcome) = mpsc::channel();
        self.writer.submit(record.clone(), sender).unwrap();
        outcome
    }

    pub(super) fn put(&self, record: &Record) -> Outcome {
        self.send(record).recv().unwrap()
    }

    /// Stores a record that must be stored.
    pub(super) fn keep(&self, record: &Record) -> Seq {
        match self.put(record) {
            Outcome::Stored(seq) => seq,
            other => panic!("{other:?}"),
        }
    }

    /// Submits all of `records` in one batch.
    pub(super) fn put_together(&self, records: &[Record]) -> Vec<Outcome> {
        self.hold();
        let outcomes: Vec<_> = records.iter().map(|record| self.send(record)).collect();
        self.release();
        outcomes
            .into_iter()
            .map(|outcome| outcome.recv().unwrap())
            .collect()
    }

    /// Decides about the next record that is not ephemeral and has no decision yet.
    pub(super) fn decide(&self, roles: RoleSet, vouched: Option<Vouched>) {
        self.decide_all(Decision {
            roles: Some(roles),
            vouched,
            ..Decision::default()
        });
    }

    /// Decides everything about the next such record.
    pub(super) fn decide_all(&self, decision: Decision) {
        self.decisions.lock().unwrap().push_back(decision);
    }

    /// Stores a record that is to be held.
    pub(super) fn keep_held(&self, record: &Record) -> Seq {
        self.decide_all(Decision {
            held: true,
            ..Decision::default()
        });
        self.keep(record)
    }

    /// Does an act that changes those records; returns its place and what was missing.
    pub(super) fn change(&self, records: Vec<RecordChange>) -> (Seq, Vec<RecordId>) {
        let act = Act {
            call: "change".to_owned(),
            records,
            ..Act::default()
        };
        match self.writer.act(act) {
            Acted::Done { seq, missing } => (seq, missing),
            other => panic!("{other:?}"),
        }
    }

    /// Fails unless everything in the store fits together.
    pub(super) fn assert_sound(&self) {
        let report = self.store.verify(&mut inspect(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }

    /// Keeps the writer busy with an ephemeral record, so that what comes queues up.
    pub(super) fn hold(&self) {
        while self.entered.try_recv().is_ok() {}
        self.gate.set(true);
        drop(self.send(&record(0, kind(9, EPHEMERAL), 1)));
        self.entered.recv().unwrap();
    }

    pub(super) fn release(&self) {
        self.gate.set(false);
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.seen.lock().unwrap().told.clone()
    }

    /// Everything that matches, by pages of `rows`.
    pub(super) fn query(&self, filter: &Filter, until: Seq, rows: usize) -> Vec<Arc<Entry>> {
        let budget = PageBudget {
            rows,
            bytes: usize::MAX,
            bytes_max: usize::MAX,
            time: Duration::MAX,
            cost_keys: u64::MAX,
            paced: false,
        };
        pages(&self.store, &mut Cursor::new(filter.clone(), until), budget)
    }
}

pub(super) fn pages(store: &Store, cursor: &mut Cursor, budget: PageBudget) -> Vec<Arc<Entry>> {
    let mut found = Vec::new();
    loop {
        let page = store.page(cursor, &|_| true, budget).unwrap();
        assert!(page.entries.len() <= budget.rows);
        found.extend(page.entries);
        if page.done {
            return found;
        }
    }
}

/// Small memory, and no floor: tests run on whatever disk there is.
pub(super) fn settings() -> StoreOptions {
    StoreOptions {
        cache_bytes: 8 << 20,
        free_space_floor_bytes: 0,
        ..StoreOptions::default()
    }
}

/// Inspects records as the server does.
pub(super) fn inspect() -> impl FnMut(&[RecordRef<'_>]) -> Vec<Result<(), String>> {
    let mut verifier = Verifier::new(64);
    move |records| {
        let outcomes = verifier.batch(records).into_iter();
        outcomes
            .map(|outcome| outcome.map_err(|error| error.to_string()))
            .collect()
    }
}
