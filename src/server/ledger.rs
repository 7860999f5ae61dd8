//! The one way in which an order changes the store, and why it may not.

use thiserror::Error;

use super::judge::Submission;
use crate::admin::{Order, Refused};
use crate::store::{Act, Acted, RecordChange, StateChange, StoreError, Writer};
use crate::wire::{RecordId, ResultCode};

/// Writes what is ordered into the log: the change, and who made it. Every call blocks until it is
/// durable.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) writer: Writer<Submission>,
}

/// Why an order was not carried out. Nothing was changed.
#[derive(Debug, Error)]
pub(super) enum OrderError {
    /// There is nothing by that name.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What is asked for is so already.
    #[error("{0} already")]
    Already(&'static str),
    /// A value is out of its range.
    #[error("{0}")]
    BadValue(String),
    /// It is more than one act may change.
    #[error("it is too much for one order; name fewer records")]
    TooMuch,
    /// Something else changed it at the same time.
    #[error("it was changed at the same time; try again")]
    Conflict,
    /// The disk has less free space than the floor.
    #[error("there is less free space on the disk than the floor")]
    NoSpace,
    /// The store does not write any more.
    #[error("the record store does not write any more; the trace says why")]
    Halted,
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
}

impl Ledger {
    /// Notes what changes nothing in the store.
    pub(super) fn note(&self, order: &Order) -> Result<(), OrderError> {
        self.order(order, Vec::new(), Vec::new()).map(drop)
    }

    /// Changes state.
    pub(super) fn state(&self, order: &Order, state: Vec<StateChange>) -> Result<(), OrderError> {
        self.order(order, state, Vec::new()).map(drop)
    }

    /// Changes state and records at once. Returns the records that were not there to be changed.
    pub(super) fn order(
        &self,
        order: &Order,
        state: Vec<StateChange>,
        records: Vec<RecordChange>,
    ) -> Result<Vec<RecordId>, OrderError> {
        let missing = self.act(Act {
            by: Some(order.by),
            is_order: true,
            call: order.call.clone(),
            detail: order.detail.clone(),
            state,
            records,
        })?;
        // The details may name people and their addresses; the audit trail has them.
        tracing::info!(by = %order.by, call = order.call, "an operator's call");
        Ok(missing)
    }

    /// Does what is perhaps no operator's order.
    pub(super) fn act(&self, act: Act) -> Result<Vec<RecordId>, OrderError> {
        match self.writer.act(act) {
            Acted::Done { missing, .. } => Ok(missing),
            Acted::Conflict => Err(OrderError::Conflict),
            Acted::TooLarge => Err(OrderError::TooMuch),
            Acted::NoSpace => Err(OrderError::NoSpace),
            Acted::Halted => Err(OrderError::Halted),
        }
    }
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        let why = error.to_string();
        let result = match error {
            OrderError::NotFound(_) => return Self::not_found(&why),
            OrderError::Already(_) => return Self::duplicate(&why),
            OrderError::BadValue(_) => return Self::invalid(&why),
            OrderError::Store(error) => return Self::failed(&error),
            OrderError::TooMuch => ResultCode::TooLarge,
            OrderError::Conflict | OrderError::NoSpace | OrderError::Halted => {
                ResultCode::TemporaryError
            }
        };
        Self { result, why }
    }
}
