//! The end of a server: which part stops when, and how long each may take.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::error::{EndError, Step};
use super::judge::Submission;
use super::live::Live;
use super::users::{Newcomers, UserDesk};
use crate::net::{Listener, NetError};
use crate::store::{Store, Writer};
use crate::verify::Stage;

/// An order to stop, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    given: Instant,
    within: Duration,
}

impl Order {
    /// The order to have stopped after `within`, from now.
    pub(super) fn within(within: Duration) -> Self {
        Self {
            given: Instant::now(),
            within,
        }
    }

    /// Until when the step may take. A step may use what those before it left over, and the last
    /// ones always have something: what was acknowledged is safe without them, but a clean end
    /// makes the next start fast.
    fn deadline(&self, step: Step) -> Instant {
        let eighths = match step {
            Step::Network => 5,
            Step::Verification => 6,
            Step::Writer => 7,
            Step::Store => 8,
        };
        self.given + self.within / 8 * eighths
    }
}

/// What runs, and is stopped in the order of these fields.
pub(super) struct Parts {
    pub(super) listener: Listener,
    /// The self-check, the dial-back service and the control socket.
    pub(super) side_tasks: JoinSet<()>,
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) stage: Arc<Stage<Submission>>,
    pub(super) desks: Desks,
    pub(super) writer: Writer<Submission>,
    pub(super) store: Store,
}

/// Where operators give orders. Whoever else knows of them holds them weakly, so that the store is
/// let go of when the server has ended.
#[derive(Clone)]
pub(super) struct Desks {
    pub(super) users: Arc<UserDesk>,
    pub(super) live: Arc<Live>,
}

impl Parts {
    /// Serves until an order to stop comes or the network fails, then stops everything, in order,
    /// and tells `ended` how that went. Without an order, stopping may take `timeout`.
    pub(super) async fn supervise(
        self,
        mut orders: watch::Receiver<Option<Order>>,
        ended: watch::Sender<Option<Result<(), EndError>>>,
        timeout: Duration,
    ) {
        let control = self.listener.control();
        let mut side_tasks = self.side_tasks;
        let mut serving = Box::pin(self.listener.run());
        let failed = loop {
            tokio::select! {
                result = &mut serving => break Some(result),
                // An error means that the handle of the server is gone, and with it whoever could
                // give an order: then it serves until its runtime ends.
                Ok(_) = orders.wait_for(Option::is_some) => break None,
                // What they guarded shuts by itself, so the rest of the server goes on.
                Some(joined) = side_tasks.join_next() => {
                    if let Err(error) = joined {
                        tracing::error!(%error, "a task beside the network panicked");
                    }
                }
            }
        };
        let given = *orders.borrow();
        let order = given.unwrap_or_else(|| Order::within(timeout));
        side_tasks.shutdown().await;
        control.shutdown();
        tracing::info!("stopping");
        let network = match failed {
            Some(result) => Ok(result),
            None => timeout_at(order.deadline(Step::Network), &mut serving).await,
        };
        // Past its deadline: what is still connected is dropped without a word.
        drop(serving);
        let rest = Rest {
            newcomers: self.newcomers,
            stage: self.stage,
            desks: self.desks,
            writer: self.writer,
            store: self.store,
        };
        let outcome = network_outcome(network).and(rest.stop(order).await);
        match &outcome {
            Ok(()) => tracing::info!("stopped"),
            Err(error) => tracing::error!(%error, "stopped badly"),
        }
        // Nobody may be left who wants to know.
        ended.send_replace(Some(outcome));
    }
}

fn network_outcome(
    result: Result<Result<(), NetError>, tokio::time::error::Elapsed>,
) -> Result<(), EndError> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(EndError::Network(Arc::new(error))),
        Err(_) => Err(EndError::Deadline(Step::Network)),
    }
}

/// What is stopped after the network.
struct Rest {
    newcomers: Arc<Newcomers>,
    stage: Arc<Stage<Submission>>,
    desks: Desks,
    writer: Writer<Submission>,
    store: Store,
}

impl Rest {
    /// Every step is tried, whatever became of those before it. The first error is returned.
    async fn stop(self, order: Order) -> Result<(), EndError> {
        let Self {
            newcomers,
            stage,
            desks,
            writer,
            store,
        } = self;
        let verification = blocking(Step::Verification, order, move || {
            if !newcomers.shutdown() {
                return Err(EndError::Panicked(Step::Verification));
            }
            stage.shutdown().map_err(EndError::Verification)
        });
        let verified = verification.await;
        let writing = blocking(Step::Writer, order, move || {
            drop(desks);
            let failed = |error| EndError::Writer(Arc::new(error));
            writer.shutdown().map_err(failed)
        });
        let written = writing.await;
        let closed = blocking(Step::Store, order, move || {
            store
                .close()
                .map_err(|error| EndError::Store(Arc::new(error)))
        });
        verified.and(written).and(closed.await)
    }
}

/// Runs a step that blocks. Past its deadline the step is left behind: it goes on by itself.
async fn blocking(
    step: Step,
    order: Order,
    work: impl FnOnce() -> Result<(), EndError> + Send + 'static,
) -> Result<(), EndError> {
    let task = spawn_blocking(work);
    match timeout_at(order.deadline(step), task).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            tracing::error!(%error, "a step of the shutdown panicked");
            Err(EndError::Panicked(step))
        }
        Err(_) => Err(EndError::Deadline(step)),
    }
}
