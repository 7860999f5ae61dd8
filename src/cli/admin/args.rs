//! The command line of `mosaic admin`, and the calls it stands for.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::base::Role;
use crate::cli::{hex, values};
use crate::wire::{AdminRow, AdminValue, PublicKey, RecordId, Reference, Timestamp};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminCommand {
    /// Whom the server serves
    #[command(subcommand)]
    User(UserCommand),
    /// Codes with which others become users
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Who is kept out
    #[command(subcommand)]
    Ban(BanCommand),
    /// Records that wait for moderation
    #[command(subcommand)]
    Held(HeldCommand),
    /// Stored records
    #[command(subcommand)]
    Record(RecordCommand),
    /// Stored BLOBs
    #[command(subcommand)]
    Blob(BlobCommand),
    /// How much anyone may do
    #[command(subcommand)]
    Limit(LimitCommand),
    /// Roles that are closed by hand
    #[command(subcommand)]
    Role(RoleCommand),
    /// Have the server read its configuration again
    Reload,
    /// Show or change what the server's trace says, until its next start
    LogLevel {
        /// A level (debug) or directives (warn,mosaicd::net=trace)
        #[arg(value_name = "FILTER", conflicts_with = "reset")]
        filter: Option<String>,
        /// Go back to what the configuration says
        #[arg(long)]
        reset: bool,
    },
    /// Show who did what, newest first
    Audit {
        /// Only what was done since then: a time, or how long ago (7d)
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        since: Option<Timestamp>,
        /// Most lines
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroU64>,
    },
    /// Show how the server is
    Status,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Master key, mopub0…
        user: PublicKey,
    },
    /// Serve a user from now on
    Add {
        /// Master key, mopub0…
        user: PublicKey,
        /// What to remember about them
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        quota: QuotaArgs,
    },
    /// Serve a user no longer; what is stored stays
    Remove {
        /// Master key, mopub0…
        user: PublicKey,
    },
    /// Change what a user may store
    Quota {
        /// Master key, mopub0…
        user: PublicKey,
        /// Go back to what the configuration says first
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        quota: QuotaArgs,
    },
}

/// What a user may store. 0 sets no bound.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuotaArgs {
    /// Records they publish
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Bytes of those
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// Records that are delivered to them
    #[arg(long, value_name = "N")]
    delivered_records: Option<u64>,
    /// Bytes of those
    #[arg(long, value_name = "N")]
    delivered_bytes: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InviteCommand {
    /// Make a code; it is shown once
    Create {
        /// How long it is good (7d); otherwise until it is used
        #[arg(long, value_name = "TIME", value_parser = values::span)]
        expires: Option<Duration>,
        /// What to remember about it
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        quota: QuotaArgs,
    },
    /// List those that were not used
    List,
    /// Take one back
    Revoke {
        /// Its hash, as `list` shows it
        #[arg(value_parser = hash)]
        hash: [u8; 32],
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BanCommand {
    /// List the bans in force
    List,
    /// Ban an address or a range of addresses
    Ip {
        /// 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48
        #[arg(value_name = "RANGE", value_parser = range)]
        range: String,
        #[command(flatten)]
        terms: BanTerms,
    },
    /// Ban a key, and every key that speaks for it
    Key {
        /// mopub0…
        key: PublicKey,
        #[command(flatten)]
        terms: BanTerms,
    },
    /// End a ban
    Lift {
        /// Its target, as `list` shows it
        target: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanTerms {
    /// For how long (1d); otherwise until it is lifted
    #[arg(long = "for", value_name = "TIME", value_parser = values::span)]
    span: Option<Duration>,
    /// Why; the banned are not told
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HeldCommand {
    /// List them, newest first
    List,
    /// Show one
    Show {
        /// moref0…
        #[arg(value_parser = id)]
        id: RecordId,
    },
    /// Let them in
    Release {
        /// moref0…
        #[arg(required = true, value_parser = id)]
        ids: Vec<RecordId>,
    },
    /// Take them away for good
    Reject {
        /// moref0…
        #[arg(required = true, value_parser = id)]
        ids: Vec<RecordId>,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecordCommand {
    /// Take records away for good
    Delete {
        /// moref0…
        #[arg(required = true, value_parser = id)]
        ids: Vec<RecordId>,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BlobCommand {
    /// List them
    List,
    /// Take one away
    Delete {
        /// BLAKE3-256 of its data, 64 hexadecimal digits
        #[arg(value_parser = hash)]
        hash: [u8; 32],
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LimitCommand {
    /// Show every limit
    Show,
    /// Set one, until it is reset
    Set {
        /// Its name, as `show` shows it
        name: String,
        /// Its new value
        value: u64,
    },
    /// Go back to what the configuration says
    Reset {
        /// One limit; otherwise all
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RoleCommand {
    /// Show every role on every listener
    List,
    /// Close a role, whatever the reachability
    Close {
        /// outbox, inbox, encryption or application
        #[arg(value_parser = values::role)]
        role: Role,
        /// Why; clients are told
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Lift that; the role opens if the reachability lets it
    Open {
        /// outbox, inbox, encryption or application
        #[arg(value_parser = values::role)]
        role: Role,
    },
}

/// A call, as it goes to the server.
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) args: AdminRow,
}

impl Call {
    fn new<const N: usize>(name: &'static str, args: [(&str, AdminValue); N]) -> Self {
        let args = args.into_iter();
        let there = args.filter(|(_, value)| *value != AdminValue::Nil);
        Self {
            name,
            args: there
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    fn with(mut self, quota: &QuotaArgs) -> Self {
        for (name, value) in [
            ("records", quota.records),
            ("bytes", quota.bytes),
            ("delivered_records", quota.delivered_records),
            ("delivered_bytes", quota.delivered_bytes),
        ] {
            if let Some(value) = value {
                self.args.insert(name.to_owned(), value.into());
            }
        }
        self
    }
}

impl AdminCommand {
    /// The calls that it stands for, in their order.
    pub(super) fn calls(&self) -> Vec<Call> {
        match self {
            Self::User(command) => vec![command.call()],
            Self::Invite(command) => vec![command.call()],
            Self::Ban(command) => vec![command.call()],
            Self::Held(command) => command.calls(),
            Self::Record(RecordCommand::Delete { ids }) => in_lists("record.delete", ids),
            Self::Blob(BlobCommand::List) => vec![Call::new("blob.list", [])],
            Self::Blob(BlobCommand::Delete { hash }) => {
                vec![Call::new("blob.delete", [("hash", bytes(hash))])]
            }
            Self::Limit(command) => vec![command.call()],
            Self::Role(command) => vec![command.call()],
            Self::Reload => vec![Call::new("reload", [])],
            Self::LogLevel { filter, reset } => vec![match (filter, reset) {
                (Some(filter), _) => {
                    Call::new("log-level.set", [("filter", filter.as_str().into())])
                }
                (None, true) => Call::new("log-level.reset", []),
                (None, false) => Call::new("log-level.show", []),
            }],
            Self::Audit { since, limit } => {
                let max = limit.map(NonZeroU64::get);
                let args = [("since", (*since).into()), ("max", max.into())];
                vec![Call::new("audit.list", args)]
            }
            Self::Status => vec![Call::new("status", [])],
        }
    }
}

impl UserCommand {
    fn call(&self) -> Call {
        match self {
            Self::List => Call::new("user.list", []),
            Self::Show { user } => Call::new("user.show", [("user", (*user).into())]),
            Self::Add { user, note, quota } => {
                let args = [("user", (*user).into()), ("note", text(note.as_ref()))];
                Call::new("user.add", args).with(quota)
            }
            Self::Remove { user } => Call::new("user.remove", [("user", (*user).into())]),
            Self::Quota {
                user,
                default,
                quota,
            } => {
                let default = default.then_some(true).map_or(AdminValue::Nil, Into::into);
                let args = [("user", (*user).into()), ("default", default)];
                Call::new("user.quota", args).with(quota)
            }
        }
    }
}

impl InviteCommand {
    fn call(&self) -> Call {
        match self {
            Self::Create {
                expires,
                note,
                quota,
            } => {
                let args = [
                    ("seconds", seconds(*expires)),
                    ("note", text(note.as_ref())),
                ];
                Call::new("invite.create", args).with(quota)
            }
            Self::List => Call::new("invite.list", []),
            Self::Revoke { hash } => Call::new("invite.revoke", [("hash", bytes(hash))]),
        }
    }
}

impl BanCommand {
    fn call(&self) -> Call {
        let set = |target: &str, terms: &BanTerms| {
            let args = [
                ("target", target.into()),
                ("seconds", seconds(terms.span)),
                ("why", text(terms.why.as_ref())),
            ];
            Call::new("ban.set", args)
        };
        match self {
            Self::List => Call::new("ban.list", []),
            Self::Ip { range, terms } => set(range, terms),
            Self::Key { key, terms } => set(&key.to_string(), terms),
            Self::Lift { target } => Call::new("ban.lift", [("target", target.as_str().into())]),
        }
    }
}

impl HeldCommand {
    fn calls(&self) -> Vec<Call> {
        match self {
            Self::List => vec![Call::new("held.list", [])],
            Self::Show { id } => vec![Call::new("held.show", [("id", (*id).into())])],
            Self::Release { ids } => in_lists("held.release", ids),
            Self::Reject { ids } => in_lists("held.reject", ids),
        }
    }
}

impl LimitCommand {
    fn call(&self) -> Call {
        match self {
            Self::Show => Call::new("limit.show", []),
            Self::Set { name, value } => {
                let args = [("name", name.as_str().into()), ("value", (*value).into())];
                Call::new("limit.set", args)
            }
            Self::Reset { name } => Call::new("limit.reset", [("name", text(name.as_ref()))]),
        }
    }
}

impl RoleCommand {
    fn call(&self) -> Call {
        match self {
            Self::List => Call::new("role.list", []),
            Self::Close { role, why } => {
                let args = [("role", role.name().into()), ("why", text(why.as_ref()))];
                Call::new("role.close", args)
            }
            Self::Open { role } => Call::new("role.open", [("role", role.name().into())]),
        }
    }
}

/// As many calls as it takes for each to name no more records than it may.
fn in_lists(name: &'static str, ids: &[RecordId]) -> Vec<Call> {
    let mut once = ids.to_vec();
    once.sort_unstable();
    once.dedup();
    let lists = once.chunks(crate::base::limits::ADMIN_LIST_MAX);
    lists
        .map(|ids| {
            let ids = ids.iter().map(|id| AdminValue::from(*id));
            Call::new(name, [("ids", AdminValue::List(ids.collect()))])
        })
        .collect()
}

fn text(text: Option<&String>) -> AdminValue {
    text.map_or(AdminValue::Nil, |text| AdminValue::Text(text.clone()))
}

fn seconds(span: Option<Duration>) -> AdminValue {
    span.map(|span| span.as_secs()).into()
}

fn bytes(bytes: &[u8]) -> AdminValue {
    AdminValue::Bytes(bytes.to_vec())
}

/// A record: its reference, which must be to one and not to an address.
fn id(text: &str) -> Result<RecordId, String> {
    match text.parse::<Reference>() {
        Ok(Reference::Id(id)) => Ok(id),
        Ok(Reference::Address(_)) => Err("that is an address, not one record".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "not 64 hexadecimal digits".to_owned())
}

/// An address, perhaps with the length of a prefix. The server reads it again.
fn range(text: &str) -> Result<String, String> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let is_range = address.parse::<IpAddr>().is_ok() && bits.parse::<u8>().is_ok();
    is_range
        .then(|| text.to_owned())
        .ok_or_else(|| "neither an address nor a range of them".to_owned())
}
