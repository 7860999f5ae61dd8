//! Whom a signing key speaks for, by the key schedules that are stored.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    base::limits,
    verify::Recent,
    wire::{KeyMarker, KeySchedule, PublicKey, Record, RecordId, SigningKeyState, Timestamp},
};

/// Where key schedules are stored. Its records are valid ones: `verify` let them in.
pub trait ScheduleSource: Send + Sync {
    /// The newest key schedule of `master` over all addresses; of equally old ones that with the
    /// larger ID.
    fn newest_schedule(&self, master: &PublicKey) -> Option<Record>;

    /// Key schedules with a subkey tag for `subkey`, newest first, a bounded number of them.
    ///
    /// Anybody can publish a schedule that names a foreign key as an encryption key, for those
    /// attest nothing. To keep such schedules from filling the bound, leave out those where
    /// [`KeySchedule::signing_key`] does not know `subkey`, which needs the subkey's signature.
    fn schedules_listing(&self, subkey: &PublicKey) -> Vec<Record>;
}

/// Whether a signer may speak for an author, in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The signer is the author's master key.
    Master,
    /// The author's newest key schedule vouches for the signer.
    Subkey,
    /// The author's newest key schedule takes the signer's word back.
    Revoked,
    /// Nothing is known of the signer.
    Unknown,
}

/// Knows whom a key speaks for, by the newest key schedule of each master.
///
/// Answers are kept at hand, negative ones too; [`learn`](Self::learn) corrects them. Shared by
/// all threads: calls may read the store, so they belong on threads that may block.
pub struct Directory {
    source: Arc<dyn ScheduleSource>,
    epoch: AtomicU64,
    known: Mutex<Known>,
}

/// Answers kept at hand.
struct Known {
    /// How often a schedule was taken out of the source.
    forgotten: u64,
    /// The newest schedule of each master; `None` is a master without one.
    schedules: Recent<PublicKey, Option<Arc<Schedule>>>,
    /// Who may have listed each signing key.
    listings: Recent<PublicKey, Listing>,
}

/// The masters that may have listed a signing key; their newest schedules decide.
#[derive(Clone)]
enum Listing {
    /// Those learned while the source was not asked yet. It may know more.
    Learned(Vec<PublicKey>),
    /// Those that the source knows, and those learned.
    Complete(Vec<PublicKey>),
}

/// A key schedule, and which record it stands in.
struct Schedule {
    id: RecordId,
    content: KeySchedule,
}

impl Directory {
    /// A directory of the schedules in `source`.
    #[must_use]
    pub fn new(source: Arc<dyn ScheduleSource>) -> Self {
        Self {
            source,
            epoch: AtomicU64::new(0),
            known: Mutex::new(Known {
                forgotten: 0,
                schedules: Recent::new(limits::DIRECTORY_SCHEDULES_MAX),
                listings: Recent::new(limits::DIRECTORY_KEYS_MAX),
            }),
        }
    }

    /// The master that `key` signs in for: the one whose newest schedule lists it as active, or
    /// itself if no newest schedule lists it at all.
    ///
    /// `None` for a key that is revoked, now or from any moment on, or out of use. If several
    /// masters list it as active, each with the key's own attestation, the newest schedule counts.
    ///
    /// # Source
    /// `design.md` section 4.
    pub fn master_of(&self, key: &PublicKey) -> Option<PublicKey> {
        let masters = self.masters_listing(key).into_iter();
        master_by(key, masters.map(|master| (master, self.newest(&master))))
    }

    /// As [`master_of`](Self::master_of), from what is at hand, so that it never blocks; `None`
    /// where the source would have to be asked.
    pub fn master_of_at_hand(&self, key: &PublicKey) -> Option<Option<PublicKey>> {
        let mut known = self.known();
        let Some(Listing::Complete(masters)) = known.listings.get(key) else {
            return None;
        };
        let masters = masters.clone().into_iter();
        let newest = |master| Some((master, known.schedules.get(&master)?.clone()));
        let schedules: Vec<_> = masters.map(newest).collect::<Option<_>>()?;
        drop(known);
        Some(master_by(key, schedules.into_iter()))
    }

    /// Whether `signer` speaks for `author` in a record dated `record_time` that arrived at
    /// `received`.
    ///
    /// A key out of use still speaks in records dated up to the moment it went out of use: the one
    /// its entry names, or else that of the schedule.
    ///
    /// # Source
    /// `mosaic-wire.md` section 9, markers.
    pub fn speaks_for(
        &self,
        signer: &PublicKey,
        author: &PublicKey,
        record_time: Timestamp,
        received: Timestamp,
    ) -> Standing {
        if signer == author {
            return Standing::Master;
        }
        self.newest(author).map_or(Standing::Unknown, |schedule| {
            schedule.standing(signer, record_time, received)
        })
    }

    /// As [`speaks_for`](Self::speaks_for), from what is at hand, so that it never blocks; `None`
    /// where the source would have to be asked.
    pub fn speaks_for_at_hand(
        &self,
        signer: &PublicKey,
        author: &PublicKey,
        record_time: Timestamp,
        received: Timestamp,
    ) -> Option<Standing> {
        if signer == author {
            return Some(Standing::Master);
        }
        let known = self.known().schedules.get(author).cloned();
        Some(known?.map_or(Standing::Unknown, |schedule| {
            schedule.standing(signer, record_time, received)
        }))
    }

    /// Takes note of a schedule that was accepted; it counts at once, even before the source
    /// returns it. Older schedules and other records change nothing.
    pub fn learn(&self, schedule: &Record) {
        let Some(learned) = Schedule::parse(schedule).map(Arc::new) else {
            return;
        };
        let master = schedule.view().author();
        if self.newest(&master).is_some_and(|it| it.id >= learned.id) {
            return;
        }
        let mut known = self.known();
        for key in learned.signing_keys() {
            known.add_master(key, master);
        }
        known.keep_newer(master, Some(learned));
        // Raised while the lock is held, so that who sees the new epoch finds the new answers.
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Takes note that the schedule `id` of `master` was taken out of the source: from here on the
    /// newest of those that are left counts.
    pub fn unlearn(&self, master: &PublicKey, id: &RecordId) {
        let mut known = self.known();
        // Whoever has read it from the source at this moment must not keep it.
        known.forgotten = known.forgotten.wrapping_add(1);
        let kept = known.schedules.get(master);
        let is_kept = kept.is_some_and(|kept| kept.as_ref().is_some_and(|it| it.id == *id));
        if is_kept {
            known.schedules.remove(master);
        }
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// A count that rises whenever an answer may have changed; whoever keeps answers asks again.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn newest(&self, master: &PublicKey) -> Option<Arc<Schedule>> {
        let forgotten = {
            let mut known = self.known();
            if let Some(schedule) = known.schedules.get(master) {
                return schedule.clone();
            }
            known.forgotten
        };
        // The lock is not held while the source reads; `keep_newer` settles who comes late.
        let found = self.source.newest_schedule(master);
        let found = found.as_ref().and_then(Schedule::parse).map(Arc::new);
        let mut known = self.known();
        if known.forgotten != forgotten {
            // It may have been read before it was taken out; whoever asks next reads again.
            return found;
        }
        known.keep_newer(*master, found)
    }

    fn masters_listing(&self, key: &PublicKey) -> Vec<PublicKey> {
        if let Some(Listing::Complete(masters)) = self.known().listings.get(key) {
            return masters.clone();
        }
        let found = self.source.schedules_listing(key);
        let found = found.iter().map(|record| record.view().author());
        self.known().complete(*key, found)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in there is half done when a thread panics: each entry is replaced whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl Known {
    /// Keeps `found` unless something newer was kept meanwhile; returns what is kept.
    fn keep_newer(
        &mut self,
        master: PublicKey,
        found: Option<Arc<Schedule>>,
    ) -> Option<Arc<Schedule>> {
        let kept = self.schedules.get(&master).cloned().flatten();
        let newest = match (kept, found) {
            (Some(kept), Some(found)) if kept.id >= found.id => Some(kept),
            (kept, None) => kept,
            (_, found) => found,
        };
        let weight = 1 + newest
            .as_ref()
            .map_or(0, |schedule| schedule.content.entries().len());
        self.schedules.insert(master, newest.clone(), weight);
        newest
    }

    /// Adds `master` to those that may have listed `key`.
    fn add_master(&mut self, key: PublicKey, master: PublicKey) {
        let listing = match self.listings.get(&key) {
            None => Listing::Learned(vec![master]),
            Some(Listing::Learned(masters)) => Listing::Learned(with_first(master, masters)),
            Some(Listing::Complete(masters)) => Listing::Complete(with_first(master, masters)),
        };
        self.keep_listing(key, listing);
    }

    /// Adds what the source found to what was learned; now the listing is complete.
    fn complete(
        &mut self,
        key: PublicKey,
        found: impl Iterator<Item = PublicKey>,
    ) -> Vec<PublicKey> {
        let mut masters = match self.listings.get(&key) {
            None => Vec::new(),
            Some(Listing::Learned(masters) | Listing::Complete(masters)) => masters.clone(),
        };
        for master in found {
            if masters.len() < limits::DIRECTORY_MASTERS_MAX && !masters.contains(&master) {
                masters.push(master);
            }
        }
        self.keep_listing(key, Listing::Complete(masters.clone()));
        masters
    }

    fn keep_listing(&mut self, key: PublicKey, listing: Listing) {
        let (Listing::Learned(masters) | Listing::Complete(masters)) = &listing;
        let weight = 1 + masters.len();
        self.listings.insert(key, listing, weight);
    }
}

impl Schedule {
    fn parse(record: &Record) -> Option<Self> {
        Some(Self {
            id: record.id(),
            content: KeySchedule::parse(record.view()).ok()?,
        })
    }

    fn signing_keys(&self) -> impl Iterator<Item = PublicKey> {
        self.content
            .entries()
            .iter()
            .filter_map(|entry| entry.signing_key())
    }

    /// What it says of `signer`, who is not the master, in a record dated `record_time` that
    /// arrived at `received`.
    fn standing(
        &self,
        signer: &PublicKey,
        record_time: Timestamp,
        received: Timestamp,
    ) -> Standing {
        match self.content.signing_key(signer) {
            None => Standing::Unknown,
            Some(SigningKeyState::Active) => Standing::Subkey,
            Some(SigningKeyState::Revoked) => Standing::Revoked,
            Some(SigningKeyState::RevokedFrom(from)) => {
                if record_time < from && received < from {
                    Standing::Subkey
                } else {
                    Standing::Revoked
                }
            }
            Some(SigningKeyState::OutOfUse) => {
                if record_time <= self.out_of_use_since(signer) {
                    Standing::Subkey
                } else {
                    Standing::Unknown
                }
            }
        }
    }

    /// The moment the schedule names for `key`, or else that of the schedule itself.
    fn out_of_use_since(&self, key: &PublicKey) -> Timestamp {
        self.content
            .entries()
            .iter()
            .filter(|entry| entry.signing_key() == Some(*key))
            .filter_map(|entry| match entry.marker() {
                KeyMarker::OutOfUse(since) => since,
                _ => None,
            })
            .min()
            .unwrap_or(self.id.timestamp())
    }
}

/// The master that `key` signs in for by the newest `schedules` of those who may have listed it.
fn master_by(
    key: &PublicKey,
    schedules: impl Iterator<Item = (PublicKey, Option<Arc<Schedule>>)>,
) -> Option<PublicKey> {
    let mut listed = false;
    let mut newest: Option<(RecordId, PublicKey)> = None;
    for (master, schedule) in schedules {
        let Some(schedule) = schedule else {
            continue;
        };
        match schedule.content.signing_key(key) {
            Some(SigningKeyState::Active) => newest = newest.max(Some((schedule.id, master))),
            Some(
                SigningKeyState::Revoked
                | SigningKeyState::RevokedFrom(_)
                | SigningKeyState::OutOfUse,
            ) => {}
            None => continue,
        }
        listed = true;
    }
    match newest {
        Some((_, master)) => Some(master),
        None if listed => None,
        None => Some(*key),
    }
}

/// `masters` with `master` in front, the last ones dropped above the bound.
fn with_first(master: PublicKey, masters: &[PublicKey]) -> Vec<PublicKey> {
    let others = masters.iter().copied().filter(|other| *other != master);
    std::iter::once(master)
        .chain(others)
        .take(limits::DIRECTORY_MASTERS_MAX)
        .collect()
}
