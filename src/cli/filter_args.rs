//! Flags that say which records.

use clap::Args;

use super::error::CliError;
use super::hex;
use super::values::{self, TagChoice};
use crate::base::Role;
use crate::client::{Client, RequestError, Stream};
use crate::wire::{Filter, FilterBuilder, Kind, PublicKey, RecordId, TagsBuilder, Timestamp};

/// Which records. Different flags are conditions that must all hold; values of one flag are
/// alternatives.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which records")]
pub(super) struct FilterArgs {
    /// By that author; repeat it for any of several
    #[arg(long, value_name = "MOPUB0")]
    author: Vec<PublicKey>,

    /// Signed by that key; repeat it for any of several
    #[arg(long, value_name = "MOPUB0")]
    signer: Vec<PublicKey>,

    /// Of that kind: microblog, reply, blog, chat, profile, key-schedule, or 16 hexadecimal digits;
    /// repeat it for any of several
    #[arg(long, value_name = "KIND")]
    kind: Vec<Kind>,

    /// With one of these tags, TYPE:HEXVALUE[,…]; repeated, each is one more condition
    #[arg(long, value_name = "TAGS")]
    tag: Vec<TagChoice>,

    /// For that user; repeat it for any of several
    #[arg(long, value_name = "MOPUB0")]
    notify: Vec<PublicKey>,

    /// Dated then or later: RFC 3339, nanoseconds, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    since: Option<Timestamp>,

    /// Dated then or earlier
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    until: Option<Timestamp>,

    /// Received by the server then or later
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    received_since: Option<Timestamp>,

    /// Received by the server then or earlier
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    received_until: Option<Timestamp>,

    /// Not that record; repeat it for several
    #[arg(long, value_name = "MOREF0")]
    exclude: Vec<RecordId>,

    /// With none of these tags, TYPE:HEXVALUE[,…]
    #[arg(long, value_name = "TAGS")]
    exclude_tag: Vec<TagChoice>,

    /// At most that many stored records, the newest; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) limit: u16,

    /// The whole filter as it goes on the wire, in hexadecimal
    #[arg(long, value_name = "HEX", conflicts_with_all = CONDITIONS)]
    filter_hex: Option<String>,
}

/// Every flag that is a condition of its own.
const CONDITIONS: [&str; 11] = [
    "author",
    "signer",
    "kind",
    "tag",
    "notify",
    "since",
    "until",
    "received_since",
    "received_until",
    "exclude",
    "exclude_tag",
];

impl FilterArgs {
    /// The filter that the flags make.
    ///
    /// # Errors
    /// [`CliError::BadValue`] for a `--filter-hex` that is none, [`CliError::Filter`] and
    /// [`CliError::Tags`] for more values than fit.
    pub(super) fn filter(&self) -> Result<Filter, CliError> {
        if let Some(text) = &self.filter_hex {
            return parse_hex(text);
        }
        let mut filter = FilterBuilder::new();
        if !self.author.is_empty() {
            filter = filter.authors(self.author.iter().copied());
        }
        if !self.signer.is_empty() {
            filter = filter.signers(self.signer.iter().copied());
        }
        if !self.kind.is_empty() {
            filter = filter.kinds(self.kind.iter().copied());
        }
        for choice in &self.tag {
            filter = filter.tags(choice.tags()?);
        }
        if !self.notify.is_empty() {
            let keys = self.notify.iter().copied();
            filter = filter.tags(keys.fold(TagsBuilder::new(), TagsBuilder::notify));
        }
        for choice in &self.exclude_tag {
            filter = filter.exclude_tags(choice.tags()?);
        }
        if !self.exclude.is_empty() {
            filter = filter.exclude(self.exclude.iter().map(RecordId::prefix));
        }
        Ok(self.with_times(filter).build()?)
    }

    fn with_times(&self, mut filter: FilterBuilder) -> FilterBuilder {
        if let Some(time) = self.since {
            filter = filter.since(time);
        }
        if let Some(time) = self.until {
            filter = filter.until(time);
        }
        if let Some(time) = self.received_since {
            filter = filter.received_since(time);
        }
        if let Some(time) = self.received_until {
            filter = filter.received_until(time);
        }
        filter
    }
}

fn parse_hex(text: &str) -> Result<Filter, CliError> {
    let bad = |why: String| CliError::BadValue {
        what: "--filter-hex",
        why,
    };
    let bytes = hex::decode(text).ok_or_else(|| bad("not hexadecimal".into()))?;
    Filter::parse(bytes.into()).map_err(|error| bad(error.to_string()))
}

/// Which role of the server is meant; without one, all that are open.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which role")]
pub(super) struct RoleArgs {
    /// Speak to that role alone: outbox, inbox, encryption or application
    #[arg(long, value_name = "ROLE", value_parser = values::role)]
    role: Option<Role>,

    /// Which application, with --role application
    #[arg(long, value_name = "ID", requires = "role")]
    app: Option<u32>,
}

impl RoleArgs {
    /// Role and application, as the client library takes them.
    pub(super) fn role(&self) -> Option<(Role, Option<u32>)> {
        self.role.map(|role| (role, self.app))
    }

    /// A stream for that role, or one that is not bound.
    pub(super) async fn open(&self, client: &Client) -> Result<Stream, RequestError> {
        match self.role {
            Some(role) => client.open_role(role, self.app).await,
            None => Ok(client.main_stream().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::wire::SecretKey;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn filter(line: &str) -> Result<Filter, String> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.filter.filter().map_err(|error| error.to_string())
    }

    fn everything() -> Filter {
        FilterBuilder::new().build().unwrap()
    }

    #[test]
    fn flags_make_the_filter_they_say() {
        let key = SecretKey::from_seed([1; 32]).public();
        let made = filter(&format!(
            "--author {key} --kind microblog --kind chat --since 5 --until 6 \
             --received-since 7 --received-until 8 --notify {key} --tag 9:aa,9:bb --limit 3"
        ));
        let expected = FilterBuilder::new()
            .authors([key])
            .kinds([Kind::MICROBLOG_ROOT, Kind::CHAT_MESSAGE])
            .tags("9:aa,9:bb".parse::<TagChoice>().unwrap().tags().unwrap())
            .tags(TagsBuilder::new().notify(key))
            .since(Timestamp::from_nanos(5).unwrap())
            .until(Timestamp::from_nanos(6).unwrap())
            .received_since(Timestamp::from_nanos(7).unwrap())
            .received_until(Timestamp::from_nanos(8).unwrap())
            .build()
            .unwrap();
        assert_eq!(made, Ok(expected));
    }

    #[test]
    fn without_flags_every_record_passes() {
        assert_eq!(filter(""), Ok(everything()));
    }

    #[test]
    fn a_filter_in_hexadecimal_stands_alone() {
        assert_eq!(
            filter("--filter-hex 0800000000000000 --limit 2"),
            Ok(everything())
        );
        assert!(filter("--filter-hex 08").is_err());
        assert!(filter("--filter-hex zz").is_err());
        for condition in CONDITIONS {
            let flag = condition.replace('_', "-");
            let refused = filter(&format!("--filter-hex 0800000000000000 --{flag} 1"));
            assert!(refused.is_err(), "{flag}");
        }
    }

    #[test]
    fn more_values_than_fit_are_refused() {
        let keys: String = (0..64)
            .map(|seed| format!(" --author {}", SecretKey::from_seed([seed; 32]).public()))
            .collect();
        assert!(filter(&keys).is_err());
    }
}
