//! Values and ranges: [`RawConfig`] -> [`Config`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;
use tracing_subscriber::EnvFilter;

use super::blobs::Blobs;
use super::checked::{
    Applications, Config, InboxModeration, Joining, Limits, Mode, Quotas, Submitters, Trace,
    TraceFormat, Users,
};
use super::error::ConfigError;
use super::rates::Rates;
use super::raw::RawConfig;
use super::reachability::Reachability;
use super::sources::Origin;
use crate::base::{Role, RoleSet, limits};
use crate::wire::PublicKey;

impl Config {
    /// Checks every value of `raw`; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value out of its range.
    pub(super) fn check(
        raw: &RawConfig,
        mode: Mode,
        folder: &Path,
        origin: Origin,
    ) -> Result<Self, ConfigError> {
        let listed = keys("users.list", &raw.users.list)?;
        let joining = joining(&raw.users.mode)?;
        Ok(Self {
            written: raw.to_table()?,
            origin,
            mode,
            name: text("name", &raw.name, 1..=NAME_MAX_BYTES)?,
            description: optional("description", raw.description.as_deref(), TEXT_MAX_BYTES)?,
            contact: optional("contact", raw.contact.as_deref(), TEXT_MAX_BYTES)?,
            terms: optional("terms", raw.terms.as_deref(), TEXT_MAX_BYTES)?,
            key_file: path("key_file", &raw.key_file, folder)?,
            key_password_file: raw
                .key_password_file
                .as_deref()
                .map(|file| path("key_password_file", file, folder))
                .transpose()?,
            data_dir: path("data_dir", &raw.data_dir, folder)?,
            listen: addresses("listen", &raw.listen, mode, 1)?,
            listen_tcp: addresses("listen_tcp", &raw.listen_tcp, mode, 0)?,
            roles: roles(&raw.roles)?,
            shutdown_timeout: Duration::from_secs(integer(
                "shutdown_timeout",
                raw.shutdown_timeout,
                1..=600,
            )?),
            operators: operators(&raw.operators)?,
            users: Users {
                listed,
                joining,
                open_max: integer("users.max", raw.users.max, 1..=USERS_CEILING)?,
            },
            quotas: Quotas::check(raw, joining)?,
            inbox_public: raw.inbox.public,
            inbox_moderation: word(
                "inbox.moderation",
                &raw.inbox.moderation,
                |moderation| match moderation {
                    "off" => Some(InboxModeration::Off),
                    "hold-strangers" => Some(InboxModeration::HoldStrangers),
                    "hold-all" => Some(InboxModeration::HoldAll),
                    _ => None,
                },
                "\"off\", \"hold-strangers\", \"hold-all\"",
            )?,
            applications: applications(&raw.application.ids)?,
            application_submitters: submitters(&raw.application.submit)?,
            blobs: Blobs::check(&raw.blobs)?,
            reachability: Reachability::check(&raw.reachability, folder)?,
            limits: Limits::check(raw)?,
            rates: Rates::check(&raw.rates)?,
            free_space_floor_bytes: integer(
                "store.free_space_floor",
                raw.store.free_space_floor,
                0..=i64::MAX,
            )?,
            trace: Trace::check(raw)?,
        })
    }
}

fn joining(mode: &str) -> Result<Joining, ConfigError> {
    word(
        "users.mode",
        mode,
        |mode| match mode {
            "list" => Some(Joining::Closed),
            "invite" => Some(Joining::Invite),
            "open" => Some(Joining::Open),
            _ => None,
        },
        "\"list\", \"invite\", \"open\"",
    )
}

impl Quotas {
    /// Whom the operator lists is trusted; whoever may come in from outside has bounds.
    fn check(raw: &RawConfig, joining: Joining) -> Result<Self, ConfigError> {
        let raw = &raw.quotas;
        let quota = |key, asked: Option<i64>, bound: u64| match (asked, joining) {
            (Some(asked), _) => integer(key, asked, 0..=i64::MAX),
            (None, Joining::Closed) => Ok(0),
            (None, Joining::Invite | Joining::Open) => Ok(bound),
        };
        Ok(Self {
            records: quota("quotas.records", raw.records, limits::QUOTA_RECORDS)?,
            bytes: quota("quotas.bytes", raw.bytes, limits::QUOTA_BYTES)?,
            delivered_records: quota(
                "quotas.delivered_records",
                raw.delivered_records,
                limits::QUOTA_RECORDS,
            )?,
            delivered_bytes: quota(
                "quotas.delivered_bytes",
                raw.delivered_bytes,
                limits::QUOTA_BYTES,
            )?,
        })
    }
}

impl Limits {
    fn check(raw: &RawConfig) -> Result<Self, ConfigError> {
        let raw = &raw.limits;
        Ok(Self {
            connections: integer("limits.connections", raw.connections, 1..=1_000_000)?,
            query_results: integer(
                "limits.query_results",
                raw.query_results,
                1..=i64::from(u32::MAX),
            )?,
            query_scan: integer(
                "limits.query_scan",
                raw.query_scan,
                1_000..=i64::from(u32::MAX),
            )?,
            refuse_wide_filters: word(
                "limits.wide_filters",
                &raw.wide_filters,
                |word| match word {
                    "serve" => Some(false),
                    "refuse" => Some(true),
                    _ => None,
                },
                "\"serve\", \"refuse\"",
            )?,
            network_threads: threads("limits.network_threads", raw.network_threads)?,
            verify_threads: threads("limits.verify_threads", raw.verify_threads)?,
        })
    }
}

impl Trace {
    fn check(raw: &RawConfig) -> Result<Self, ConfigError> {
        let raw = &raw.trace;
        let directives = trace_directives(&raw.level).ok_or_else(|| {
            let allowed =
                "error, warn, info, debug, trace, or directives such as \"mosaicd::net=debug\"";
            refused("trace.level", quoted(&raw.level), allowed)
        })?;
        Ok(Self {
            directives,
            format: word(
                "trace.format",
                &raw.format,
                |format| match format {
                    "text" => Some(TraceFormat::Text),
                    "json" => Some(TraceFormat::Json),
                    _ => None,
                },
                "\"text\", \"json\"",
            )?,
        })
    }
}

/// The directives of a level: that level for our own trace, warnings of the libraries. Directives
/// are taken as they are. A single word is a level, or else a slip: it would be read as a name, and
/// is `None`, as is what does not parse.
#[must_use]
pub fn trace_directives(level: &str) -> Option<String> {
    if level.contains(['=', ',']) {
        let parsed = EnvFilter::builder().parse(level);
        return parsed.is_ok().then(|| level.to_owned());
    }
    match level {
        "error" => Some("error".to_owned()),
        "warn" | "info" | "debug" | "trace" => Some(format!("warn,mosaicd={level}")),
        _ => None,
    }
}

pub(super) fn refused(key: &'static str, value: String, allowed: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        key,
        value,
        allowed: allowed.into(),
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

pub(super) fn integer<T: TryFrom<i64>>(
    key: &'static str,
    value: i64,
    range: RangeInclusive<i64>,
) -> Result<T, ConfigError> {
    let allowed = || match *range.end() {
        i64::MAX => format!("{} and more", range.start()),
        end => format!("{} to {end}", range.start()),
    };
    let fitting = Some(value).filter(|value| range.contains(value));
    fitting
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| refused(key, value.to_string(), allowed()))
}

/// A number of threads; 0 leaves one processor to the rest of the server.
fn threads(key: &'static str, value: i64) -> Result<usize, ConfigError> {
    let asked: usize = integer(key, value, 0..=256)?;
    if asked > 0 {
        return Ok(asked);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(processors.saturating_sub(1).max(1))
}

fn text(
    key: &'static str,
    value: &str,
    bytes: RangeInclusive<usize>,
) -> Result<String, ConfigError> {
    if bytes.contains(&value.len()) {
        return Ok(value.to_owned());
    }
    let allowed = format!("a text of {} to {} bytes", bytes.start(), bytes.end());
    Err(refused(key, format!("{} bytes long", value.len()), allowed))
}

/// A text that may be left out; an empty one counts as left out.
fn optional(
    key: &'static str,
    value: Option<&str>,
    max_bytes: usize,
) -> Result<Option<String>, ConfigError> {
    value
        .filter(|value| !value.is_empty())
        .map(|value| text(key, value, 1..=max_bytes))
        .transpose()
}

pub(super) fn word<T>(
    key: &'static str,
    value: &str,
    meaning: impl Fn(&str) -> Option<T>,
    allowed: &str,
) -> Result<T, ConfigError> {
    meaning(value).ok_or_else(|| refused(key, quoted(value), allowed))
}

pub(super) fn path(key: &'static str, value: &str, folder: &Path) -> Result<PathBuf, ConfigError> {
    if value.is_empty() {
        return Err(refused(key, quoted(value), "a path"));
    }
    Ok(folder.join(value))
}

fn addresses(
    key: &'static str,
    values: &[String],
    mode: Mode,
    least: usize,
) -> Result<Vec<SocketAddr>, ConfigError> {
    if values.len() < least || values.len() > LISTENERS_MAX {
        let allowed = format!("{least} to {LISTENERS_MAX} addresses");
        return Err(refused(key, format!("a list of {}", values.len()), allowed));
    }
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(values.len());
    for value in values {
        let address: SocketAddr = value.parse().map_err(|_| {
            let allowed = "addresses with a port, such as \"0.0.0.0:1320\" or \"[::]:1320\"";
            refused(key, quoted(value), allowed)
        })?;
        if mode == Mode::Dev && !address.ip().to_canonical().is_loopback() {
            let allowed = "addresses of this machine only (127.0.0.1, [::1]) with --dev";
            return Err(refused(key, quoted(value), allowed));
        }
        if address.port() != 0 && addresses.contains(&address) {
            return Err(refused(key, quoted(value), "no address twice"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn roles(values: &[String]) -> Result<RoleSet, ConfigError> {
    let names = Role::ALL.map(Role::name).join(", ");
    if values.is_empty() {
        return Err(refused(
            "roles",
            "empty".to_owned(),
            format!("one or more of {names}"),
        ));
    }
    values
        .iter()
        .map(|name| Role::from_name(name).ok_or_else(|| refused("roles", quoted(name), &names)))
        .collect()
}

/// Master keys, sorted and without repetition.
fn keys(key: &'static str, values: &[String]) -> Result<Vec<PublicKey>, ConfigError> {
    if values.len() > limits::USERS_MAX {
        let allowed = format!("at most {} keys", limits::USERS_MAX);
        return Err(refused(key, format!("a list of {}", values.len()), allowed));
    }
    let sorted: Result<BTreeSet<PublicKey>, ConfigError> = values
        .iter()
        .map(|value| {
            value
                .parse()
                .map_err(|_| refused(key, quoted(value), "public keys of users (mopub0...)"))
        })
        .collect();
    Ok(sorted?.into_iter().collect())
}

/// Operators: few, as each may do everything.
fn operators(values: &[String]) -> Result<Vec<PublicKey>, ConfigError> {
    if values.len() > OPERATORS_MAX {
        let allowed = format!("at most {OPERATORS_MAX} keys");
        return Err(refused(
            "operators",
            format!("a list of {}", values.len()),
            allowed,
        ));
    }
    keys("operators", values)
}

fn applications(value: &Value) -> Result<Applications, ConfigError> {
    let key = "application.ids";
    let allowed = "\"any\", or a list of IDs (99) and of kinds of an ID (\"1:4\")";
    let items = match value {
        Value::String(any) if any == "any" => return Ok(Applications::Any),
        Value::String(_) => std::slice::from_ref(value),
        Value::Array(items) => items.as_slice(),
        _ => return Err(refused(key, value.to_string(), allowed)),
    };
    if items.len() > APPLICATIONS_MAX {
        let allowed = format!("at most {APPLICATIONS_MAX} entries");
        return Err(refused(key, format!("a list of {}", items.len()), allowed));
    }
    let listed: Option<Vec<_>> = items.iter().map(application).collect();
    listed
        .map(Applications::Listed)
        .ok_or_else(|| refused(key, value.to_string(), allowed))
}

/// `99`, `"99"` or `"1:4"`.
fn application(item: &Value) -> Option<(u32, Option<u16>)> {
    match item {
        Value::Integer(id) => Some((u32::try_from(*id).ok()?, None)),
        Value::String(text) => match text.split_once(':') {
            Some((id, kind)) => Some((id.parse().ok()?, Some(kind.parse().ok()?))),
            None => Some((text.parse().ok()?, None)),
        },
        _ => None,
    }
}

fn submitters(value: &Value) -> Result<Submitters, ConfigError> {
    let key = "application.submit";
    let allowed = "\"anyone\", \"authenticated\", or a list of public keys (mopub0...)";
    match value {
        Value::String(word) if word == "anyone" => Ok(Submitters::Anyone),
        Value::String(word) if word == "authenticated" => Ok(Submitters::Authenticated),
        Value::String(text) => Ok(Submitters::Listed(keys(key, std::slice::from_ref(text))?)),
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect();
            let texts = texts.ok_or_else(|| refused(key, value.to_string(), allowed))?;
            Ok(Submitters::Listed(keys(key, &texts)?))
        }
        _ => Err(refused(key, value.to_string(), allowed)),
    }
}

/// Longest name: INFO shows it in one line.
const NAME_MAX_BYTES: usize = 128;

/// Longest text of INFO; all of them fit a body of an extension message with room to spare.
const TEXT_MAX_BYTES: usize = 4 << 10;

/// Most entries of `application.ids`; INFO lists them.
const APPLICATIONS_MAX: usize = 1_024;

/// Most operators.
const OPERATORS_MAX: usize = 64;

/// Most addresses to listen on.
const LISTENERS_MAX: usize = 16;

/// Highest `users.max`: at about 100 bytes a user it takes a gigabyte.
const USERS_CEILING: i64 = 10_000_000;
