//! Where policy meets the store: what becomes of a verified record, decided in the order of the log.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::moderation::Acquaintances;
use super::users::UserRegistry;
use crate::fanout::Fanout;
use crate::identity::{Directory, Standing};
use crate::net::Reply;
use crate::policy::{
    Facts, Gate, LiveRules, Reader, Submitter, admit, already_here, is_held, visible,
};
use crate::store::{Charge, Entry, Judge, Judgement, Kept, Outcome, Vouched};
use crate::wire::{Kind, Record, RecordRef, ResultCode, Timestamp};

/// What travels with a record from the network to the log and back.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) submitter: Submitter,
    /// Where the submitter is.
    pub(super) from: IpAddr,
    /// The gate of the listener on which it came in.
    pub(super) gate: Arc<Gate>,
    pub(super) reply: Reply,
    /// What is said where somebody has too much, once that is known.
    pub(super) over_quota: OnceLock<ResultCode>,
}

/// Judges by the roles that are open at the moment a record is to be written, on the listener on
/// which it came in.
pub(super) struct RoleJudge {
    pub(super) rules: Arc<LiveRules>,
    pub(super) directory: Arc<Directory>,
    pub(super) users: Arc<UserRegistry>,
    pub(super) acquaintances: Arc<Acquaintances>,
    pub(super) fanout: Fanout,
}

impl RoleJudge {
    /// For whom the submitter speaks at this place of the log: a key schedule before it counts,
    /// also one that was not stored yet when the record came in.
    fn resolved(&self, submitter: &Submitter) -> Submitter {
        let key = submitter.peer.key();
        Submitter {
            master: key.and_then(|key| self.directory.master_of(key)),
            ..*submitter
        }
    }

    /// What the key schedules say at this place of the log of the signer of what is here.
    fn standing(&self, known: &Entry) -> Standing {
        let record = known.record.view();
        let (signer, author) = (record.signer(), record.author());
        self.directory
            .speaks_for(&signer, &author, record.timestamp(), known.received)
    }

    /// Whether a record that is here is its author's word by now.
    fn is_vouched_now(&self, known: &Entry) -> bool {
        matches!(
            self.vouched_now(known),
            Some(Vouched::Master | Vouched::Subkey)
        )
    }

    /// Whether the submitter may learn of what keeps the submission out.
    fn sees(&self, submission: &Submission, Kept { entry, .. }: &Kept) -> bool {
        let Submitter {
            peer,
            master,
            bound,
            app,
        } = self.resolved(&submission.submitter);
        let reader = Reader {
            peer,
            master,
            bound,
            app,
        };
        let facts = Facts {
            record: entry.record.view(),
            roles: entry.roles,
            held: entry.held,
            standing: self.standing(entry),
        };
        let open = submission.gate.open();
        visible(&self.rules.now(), open, &facts, &reader)
    }

    fn result(&self, submission: &Submission, outcome: &Outcome) -> ResultCode {
        match outcome {
            Outcome::Stored(_) => ResultCode::Accepted,
            // Whoever sends again what an operator took out is not told so.
            Outcome::Removed { fits } => as_if_new(submission, *fits),
            Outcome::Duplicate(kept) | Outcome::Older(kept) => {
                let if_new = as_if_new(submission, kept.fits);
                already_here(self.sees(submission, kept), if_new)
            }
            Outcome::Stays(kept) if self.sees(submission, kept) => ResultCode::Unauthorized,
            Outcome::Stays(kept) => as_if_new(submission, kept.fits),
            Outcome::Announced(0) => ResultCode::NoConsumers,
            Outcome::Announced(_) => ResultCode::Accepted,
            Outcome::Refused(code) => *code,
            Outcome::OverQuota => as_if_new(submission, false),
            Outcome::NoSpace | Outcome::Halted => ResultCode::TemporaryError,
        }
    }
}

impl Judge for RoleJudge {
    type Context = Submission;

    fn judge(
        &mut self,
        record: RecordRef<'_>,
        context: &Submission,
        received: Timestamp,
    ) -> Judgement {
        let (signer, author) = (record.signer(), record.author());
        let standing = self
            .directory
            .speaks_for(&signer, &author, record.timestamp(), received);
        let submitter = self.resolved(&context.submitter);
        let gate = context.gate.roles();
        let rules = self.rules.now();
        match admit(&rules, gate, record, &submitter, standing) {
            Ok(roles) => {
                let is_theirs = |known: &Entry| self.is_vouched_now(known);
                let mut inquiry = self.acquaintances.inquiry(Instant::now());
                let knows = |user: &_, writer: &_| inquiry.knows(user, writer, &is_theirs);
                let held = is_held(&rules, gate.configured, record, standing, knows);
                let charges = self.users.charges(record, roles, held);
                // A context is judged once, and its record is not there any more when it is answered.
                let over_quota = over_quota(&charges, &submitter);
                context.over_quota.set(over_quota).ok();
                Judgement::Store {
                    roles,
                    vouched: vouched(standing),
                    submitter: submitter.peer.key().copied(),
                    held,
                    charges,
                }
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "submission refused");
                Judgement::Refuse(refusal.code())
            }
        }
    }

    fn vouched_now(&self, known: &Entry) -> Option<Vouched> {
        match (self.standing(known), known.vouched) {
            (Standing::Revoked, _) => None,
            (now, Vouched::Unknown) => Some(vouched(now)),
            // What was vouched for once is not taken back by a schedule that says nothing of it.
            (_, then) => Some(then),
        }
    }

    fn stored(&mut self, record: &Record) {
        if record.view().kind() == Kind::KEY_SCHEDULE {
            self.directory.learn(record);
        }
        // It came in at this moment, or later than any other: a key that is revoked from some moment on
        // speaks no more.
        let is_authors_word = || {
            let record = record.view();
            let (signer, author) = (record.signer(), record.author());
            let dated = record.timestamp();
            let directory = &self.directory;
            let standing = directory.speaks_for(&signer, &author, dated, Timestamp::MAX);
            vouched(standing) != Vouched::Unknown
        };
        self.acquaintances
            .stored(record, &*self.users, is_authors_word);
    }

    fn publish(&mut self, entries: &[Arc<Entry>]) {
        let records = entries.iter().map(|entry| entry.record.view());
        let schedules = records.filter(|record| record.kind() == Kind::KEY_SCHEDULE);
        let authors: BTreeSet<_> = schedules.map(|schedule| schedule.author()).collect();
        self.acquaintances.forget(&authors);
        self.fanout.publish(entries);
    }

    /// What would have to wait, and cannot be stored, is for nobody.
    fn announce(&mut self, entry: &Arc<Entry>) -> usize {
        if entry.held {
            return 0;
        }
        self.fanout.announce(entry)
    }

    fn reply(&mut self, context: Submission, outcome: Outcome) {
        let result = self.result(&context, &outcome);
        context.reply.send(result);
    }
}

/// What is said of a record that is new here, and within the quotas or not.
fn as_if_new(submission: &Submission, fits: bool) -> ResultCode {
    if fits {
        return ResultCode::Accepted;
    }
    let over_quota = submission.over_quota.get();
    *over_quota.unwrap_or(&ResultCode::TemporaryError)
}

/// What is said where a record does not fit into what those may have for whom it counts.
///
/// Users are told that it is too large for their own space. Nobody else is told anything of it: to
/// them it is one of the many reasons for which a server cannot take something now.
fn over_quota(charges: &[Charge], submitter: &Submitter) -> ResultCode {
    let is_own = |charge: &Charge| submitter.master == Some(charge.user);
    if !charges.is_empty() && charges.iter().all(is_own) {
        ResultCode::TooLarge
    } else {
        ResultCode::TemporaryError
    }
}

/// How the envelope writes a standing. A revoked signer is never admitted.
const fn vouched(standing: Standing) -> Vouched {
    match standing {
        Standing::Master => Vouched::Master,
        Standing::Subkey => Vouched::Subkey,
        Standing::Unknown | Standing::Revoked => Vouched::Unknown,
    }
}
