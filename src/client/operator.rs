//! Orders to a server, as its operator.

use super::error::RequestError;
use super::stream::{Orders, Stream};
use crate::wire::{AdminCall, AdminReply, AdminRow, ResultCode, RoleOpen, StreamRole};

/// A stream on which a server takes orders; from [`Client::operator`](super::Client::operator). One
/// order at a time: a further one waits until the answer to the one before has come.
///
/// # Source
/// `extensions.md`, ADMIN.
#[derive(Clone, Debug)]
pub struct OperatorStream {
    stream: Stream,
}

/// The answer to one order.
#[derive(Debug)]
pub struct AdminAnswer {
    orders: Orders,
    /// What the last reply said; nothing, while more comes.
    end: Option<(ResultCode, Option<String>)>,
}

impl OperatorStream {
    /// Makes a stream on which nothing was said an operator's.
    pub(super) async fn sign_in(stream: Stream) -> Result<Self, RequestError> {
        let role = StreamRole::Operator;
        stream.bind_to(RoleOpen { role, app: None }).await?;
        Ok(Self { stream })
    }

    /// Gives an order. What it is refused with is in the answer.
    ///
    /// # Errors
    /// [`RequestError::End`]: the stream has ended.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the order.
    pub async fn call(&self, call: &str, args: AdminRow) -> Result<AdminAnswer, RequestError> {
        let call = AdminCall {
            call: call.to_owned(),
            args,
        };
        let orders = self.stream.order(&call).await?;
        Ok(AdminAnswer { orders, end: None })
    }
}

impl AdminAnswer {
    /// The next rows; `None` when the answer is complete. They may be none before that.
    ///
    /// # Errors
    /// [`RequestError::End`], [`RequestError::Timeout`], or a reply that does not decode. Whether the
    /// order was carried out is then unknown.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<AdminRow>>, RequestError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let AdminReply {
            result,
            why,
            rows,
            more,
        } = self.orders.next().await?;
        if !more {
            self.end = Some((result, why));
        }
        Ok(Some(rows))
    }

    /// How the order ended, and what the server says about that; escape it before a terminal shows
    /// it. `None` while more comes.
    #[must_use]
    pub fn result(&self) -> Option<(ResultCode, Option<&str>)> {
        let (result, why) = self.end.as_ref()?;
        Some((*result, why.as_deref()))
    }

    /// Everything that comes, for answers that are short.
    ///
    /// # Errors
    /// [`RequestError::Refused`] where the order was not carried out; otherwise as
    /// [`next`](Self::next).
    ///
    /// # Cancel safety
    /// What had come is lost.
    pub async fn rows(mut self) -> Result<Vec<AdminRow>, RequestError> {
        let mut all = Vec::new();
        while let Some(rows) = self.next().await? {
            all.extend(rows);
        }
        match self.end.take() {
            Some((ResultCode::Success, _)) => Ok(all),
            Some((result, why)) => Err(RequestError::Refused { result, why }),
            None => Err(RequestError::Timeout),
        }
    }
}
