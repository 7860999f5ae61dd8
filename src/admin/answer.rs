//! What a call comes to.

use std::fmt::Display;

use crate::wire::{AdminReply, AdminRow, AdminValue, RecordId, ResultCode};

/// What a call came to, or one part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the operator is told. Whether more follows is for `next` to say.
    pub reply: AdminReply,
    /// Where the next part of a listing begins; it never leaves the process.
    pub next: Option<Vec<u8>>,
}

/// One part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The lines of this part.
    pub lines: Vec<T>,
    /// What the part that lists is given to go on behind them; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// Why a call is not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the operator is told.
    pub result: ResultCode,
    /// Why, for people.
    pub why: String,
}

impl Refused {
    /// The call or its arguments are not right.
    #[must_use]
    pub fn invalid(why: &str) -> Self {
        Self {
            result: ResultCode::Invalid,
            why: why.to_owned(),
        }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(why: &str) -> Self {
        Self {
            result: ResultCode::NotFound,
            why: why.to_owned(),
        }
    }

    /// It is there already.
    #[must_use]
    pub fn duplicate(why: &str) -> Self {
        Self {
            result: ResultCode::Duplicate,
            why: why.to_owned(),
        }
    }

    /// A part of the server cannot do it now, for the reason `error`, which is traced.
    #[must_use]
    pub fn failed(error: &dyn Display) -> Self {
        tracing::error!(%error, "an operator's call failed");
        Self {
            result: ResultCode::TemporaryError,
            why: "the record store failed; the trace says why".to_owned(),
        }
    }
}

impl From<Refused> for Answer {
    fn from(Refused { result, why }: Refused) -> Self {
        Self {
            reply: AdminReply::refused(result, &why),
            next: None,
        }
    }
}

impl Answer {
    /// Done, and there is nothing to say.
    pub(super) const fn done() -> Self {
        Self::rows(Vec::new())
    }

    pub(super) const fn rows(rows: Vec<AdminRow>) -> Self {
        Self {
            reply: AdminReply::done(rows),
            next: None,
        }
    }

    /// Part of a listing.
    pub(super) fn listed<T: Into<AdminRow>>(listing: Listing<T>) -> Self {
        let Listing { lines, next } = listing;
        let rows = lines.into_iter().map(Into::into).collect();
        Self {
            next,
            ..Self::rows(rows)
        }
    }

    /// What became of the records `asked` for, of which `missing` were not there. Where none was,
    /// nothing was changed.
    pub(super) fn records(asked: usize, missing: &[RecordId]) -> Self {
        let done = asked.saturating_sub(missing.len());
        let ids = missing.iter().map(|id| AdminValue::from(*id)).collect();
        let row = row([("done", done.into()), ("missing", AdminValue::List(ids))]);
        let mut answer = Self::rows(vec![row]);
        if done == 0 {
            answer.reply.result = ResultCode::NotFound;
            answer.reply.why = Some("none of them is there".to_owned());
        }
        answer
    }
}

impl<T> Listing<T> {
    /// All there is.
    #[must_use]
    pub const fn whole(lines: Vec<T>) -> Self {
        Self { lines, next: None }
    }
}

/// A row of these values; those that are nil are left out.
pub(super) fn row<const N: usize>(values: [(&str, AdminValue); N]) -> AdminRow {
    let there = values
        .into_iter()
        .filter(|(_, value)| *value != AdminValue::Nil);
    there
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
