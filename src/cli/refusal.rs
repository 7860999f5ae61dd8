//! That the server does not carry a request out, and why, as far as it says.

use std::fmt;

use super::escape::escape_line;
use crate::client::Client;
use crate::wire::ResultCode;

/// What the server answered, and which limit it says the request ran into.
#[derive(Debug)]
pub(super) struct Refusal {
    result: ResultCode,
    why: Option<String>,
}

impl Refusal {
    /// Asks the server for the reason where the code alone leaves it open, and the server knows
    /// the question.
    pub(super) async fn explained(result: ResultCode, client: &Client) -> Self {
        let is_vague = matches!(result, ResultCode::TooOpen | ResultCode::TooFast);
        let reply = match is_vague && client.has_extensions() {
            true => client.info().await.ok(),
            false => None,
        };
        let refused = reply.and_then(|reply| reply.refused);
        let why = refused
            .filter(|refused| refused.result == result)
            .map(|refused| refused.why);
        Self { result, why }
    }
}

impl From<ResultCode> for Refusal {
    fn from(result: ResultCode) -> Self {
        Self { result, why: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.result)?;
        match &self.why {
            Some(why) => write!(f, ": {}", escape_line(why)),
            None => Ok(()),
        }
    }
}
