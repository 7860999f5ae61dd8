//! Where policy meets the store: what becomes of a verified record, decided in the order of the log.

use std::sync::Arc;

use crate::fanout::Fanout;
use crate::identity::{Directory, Standing};
use crate::net::Reply;
use crate::policy::{Facts, Gate, LiveRules, Reader, Submitter, admit, already_here, visible};
use crate::store::{Entry, Judge, Judgement, Outcome, Vouched};
use crate::wire::{Kind, Record, RecordRef, ResultCode, Timestamp};

/// What travels with a record from the network to the log and back.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) submitter: Submitter,
    /// The gate of the listener on which it came in.
    pub(super) gate: Arc<Gate>,
    pub(super) reply: Reply,
}

/// Judges by the roles that are open at the moment a record is to be written, on the listener on
/// which it came in.
pub(super) struct RoleJudge {
    pub(super) rules: Arc<LiveRules>,
    pub(super) directory: Arc<Directory>,
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

    /// What is said to a submitter of something that is here already, or too late.
    fn already_here(&self, submission: &Submission, entry: &Entry) -> ResultCode {
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
        already_here(visible(&self.rules.now(), open, &facts, &reader))
    }

    fn result(&self, submission: &Submission, outcome: &Outcome) -> ResultCode {
        match outcome {
            // Whoever sent a record that was taken out is not told so.
            Outcome::Stored(_) | Outcome::Removed => ResultCode::Accepted,
            Outcome::Duplicate(entry) | Outcome::Older(entry) => {
                self.already_here(submission, entry)
            }
            Outcome::Announced(0) => ResultCode::NoConsumers,
            Outcome::Announced(_) => ResultCode::Accepted,
            Outcome::Refused(code) => *code,
            Outcome::OverQuota | Outcome::NoSpace | Outcome::Halted => ResultCode::TemporaryError,
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
        let roles = context.gate.roles();
        match admit(&self.rules.now(), roles, record, &submitter, standing) {
            Ok(roles) => Judgement::Store {
                roles,
                vouched: vouched(standing),
                submitter: submitter.peer.key().copied(),
                held: false,
                charges: Vec::new(),
            },
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
    }

    fn publish(&mut self, entries: &[Arc<Entry>]) {
        self.fanout.publish(entries);
    }

    fn announce(&mut self, entry: &Arc<Entry>) -> usize {
        self.fanout.announce(entry)
    }

    fn reply(&mut self, context: Submission, outcome: Outcome) {
        let result = self.result(&context, &outcome);
        context.reply.send(result);
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
