//! The one way in which an operator's call changes the store.

use crate::admin::{Order, Refused};
use crate::server::judge::Submission;
use crate::store::{Act, Acted, RecordChange, StateChange, Writer};
use crate::wire::{RecordId, ResultCode};

/// Writes what an operator does into the log: the change, and who made it.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) writer: Writer<Submission>,
}

impl Ledger {
    /// Notes what changes nothing in the store.
    pub(super) fn note(&self, order: &Order) -> Result<(), Refused> {
        self.write(order, Vec::new(), Vec::new()).map(drop)
    }

    /// Changes state.
    pub(super) fn state(&self, order: &Order, state: Vec<StateChange>) -> Result<(), Refused> {
        self.write(order, state, Vec::new()).map(drop)
    }

    /// Changes records. Returns those that were not there.
    pub(super) fn records(
        &self,
        order: &Order,
        records: Vec<RecordChange>,
    ) -> Result<Vec<RecordId>, Refused> {
        self.write(order, Vec::new(), records)
    }

    /// Blocks until it is durable.
    fn write(
        &self,
        order: &Order,
        state: Vec<StateChange>,
        records: Vec<RecordChange>,
    ) -> Result<Vec<RecordId>, Refused> {
        let act = Act {
            by: Some(order.by),
            is_order: true,
            call: order.call.clone(),
            detail: order.detail.clone(),
            state,
            records,
        };
        let refused = |result, why: &str| Refused {
            result,
            why: why.to_owned(),
        };
        match self.writer.act(act) {
            Acted::Done { missing, .. } => {
                // The details may name people and their addresses; the audit trail has them.
                tracing::info!(by = %order.by, call = order.call, "an operator's call");
                Ok(missing)
            }
            Acted::Conflict => Err(refused(
                ResultCode::TemporaryError,
                "something else changed it at the same time; nothing was done",
            )),
            Acted::TooLarge => Err(refused(
                ResultCode::TooLarge,
                "it is too much for one call; name fewer records",
            )),
            Acted::NoSpace => Err(refused(
                ResultCode::TemporaryError,
                "the disk has too little free space",
            )),
            Acted::Halted => Err(refused(
                ResultCode::TemporaryError,
                "the record store does not write any more; the trace says why",
            )),
        }
    }
}
