//! `mosaic info`: what a server is and serves.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::context::Context;
use super::error::{CliError, Exit};
use super::escape::escape_line;
use super::output::Row;
use super::rows::{Blob, Nanos};
use crate::client::Client;
use crate::wire::{
    InfoLimits, InfoReply, Registration, RoleCondition, StreamRole, Timestamp, UserReport,
};

/// Asks the server and prints what it says.
///
/// # Errors
/// No connection, or no answer.
pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let client = context.connect().await?;
    let reply = if client.has_extensions() {
        Some(client.info().await?)
    } else {
        None
    };
    let row = InfoRow::new(&client, reply.as_ref());
    client.close().await;
    let mut output = context.output()?;
    output.row(&row)?;
    output.flush()?;
    Ok(Exit::Done)
}

/// What is known about a server. Everything but key, address and grants is the server's word.
#[derive(Debug, Serialize)]
struct InfoRow {
    key: Blob,
    address: String,
    /// Applications granted in HELLO ACK.
    granted: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    said: Option<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    name: String,
    software: String,
    version: String,
    spec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<String>,
    endpoints: Vec<String>,
    roles: BTreeMap<String, Standing>,
    applications: Vec<u32>,
    limits: InfoLimits,
    registration: Registration,
    probes: bool,
    now: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    you: Option<UserReport>,
}

#[derive(Debug, Serialize)]
struct Standing {
    state: RoleCondition,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    since: Nanos,
}

impl InfoRow {
    fn new(client: &Client, reply: Option<&InfoReply>) -> Self {
        Self {
            key: Blob::server(&client.server_key()),
            address: client.raw().remote_address().to_string(),
            granted: client.applications().to_vec(),
            said: reply.map(Said::new),
        }
    }
}

impl Said {
    fn new(reply: &InfoReply) -> Self {
        let roles = reply.roles.iter().map(|(role, report)| {
            let standing = Standing {
                state: report.state,
                why: report.why.clone(),
                since: Nanos(report.since),
            };
            (role_name(*role).to_owned(), standing)
        });
        Self {
            name: reply.name.clone(),
            software: reply.software.clone(),
            version: reply.version.clone(),
            spec: reply.spec.clone(),
            description: reply.description.clone(),
            contact: reply.contact.clone(),
            terms: reply.terms.clone(),
            endpoints: reply.endpoints.clone(),
            roles: roles.collect(),
            applications: reply.applications.clone(),
            limits: reply.limits,
            registration: reply.registration,
            probes: reply.probes,
            now: Nanos(reply.now),
            you: reply.you,
        }
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let software = format!("{} {}, Mosaic {}", self.software, self.version, self.spec);
        line(out, "name", &self.name)?;
        line(out, "software", &software)?;
        for (label, text) in [
            ("description", &self.description),
            ("contact", &self.contact),
            ("terms", &self.terms),
        ] {
            if let Some(text) = text {
                line(out, label, text)?;
            }
        }
        for endpoint in &self.endpoints {
            line(out, "endpoint", endpoint)?;
        }
        for (role, standing) in &self.roles {
            let state = state_name(standing.state);
            match &standing.why {
                Some(why) => line(out, role, &format!("{state}: {why}"))?,
                None => line(out, role, state)?,
            }
        }
        line(out, "applications", &list(&self.applications))?;
        line(out, "registration", registration_name(self.registration))?;
        self.write_limits(out)?;
        let ahead = difference(self.now.0, Timestamp::now());
        line(out, "clock", &format!("{} ({ahead})", self.now.0))?;
        match &self.you {
            Some(you) => write_you(you, out),
            None => Ok(()),
        }
    }

    fn write_limits(&self, out: &mut dyn Write) -> io::Result<()> {
        let limits = &self.limits;
        line(
            out,
            "record",
            &format!("up to {} bytes", limits.record_bytes),
        )?;
        line(
            out,
            "query",
            &format!("up to {} records", limits.query_results),
        )?;
        let per_stream = limits.subscriptions_per_stream;
        let streams = format!("{} a connection, {per_stream} queries each", limits.streams);
        line(out, "streams", &streams)?;
        let rate = match limits.submissions_per_second {
            // What a server says that has no limit: the largest rate a u32 or a u64 can name.
            rate if rate >= u64::from(u32::MAX) => "no limit".to_owned(),
            rate => format!("{rate} a second"),
        };
        line(out, "submissions", &rate)?;
        match limits.retention_seconds {
            Some(seconds) => line(out, "kept", &format!("{seconds} seconds")),
            None => Ok(()),
        }
    }
}

/// What the server keeps for the user who asks.
fn write_you(you: &UserReport, out: &mut dyn Write) -> io::Result<()> {
    let served = if you.served {
        "served here"
    } else {
        "not served here"
    };
    line(out, "you", served)?;
    let published = amount(you.records, you.records_max, you.bytes, you.bytes_max);
    line(out, "published", &published)?;
    let delivered = amount(
        you.delivered_records,
        you.delivered_records_max,
        you.delivered_bytes,
        you.delivered_bytes_max,
    );
    line(out, "delivered", &delivered)
}

fn amount(records: u64, records_max: Option<u64>, bytes: u64, bytes_max: Option<u64>) -> String {
    let of = |max: Option<u64>| max.map_or_else(String::new, |max| format!(" of {max}"));
    let (of_records, of_bytes) = (of(records_max), of(bytes_max));
    format!("{records}{of_records} records, {bytes}{of_bytes} bytes")
}

impl Row for InfoRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "key", self.key.text())?;
        line(out, "address", &self.address)?;
        match &self.said {
            Some(said) => said.write_text(out),
            None => line(
                out,
                "info",
                "the server does not speak the extension messages",
            ),
        }
    }
}

fn line(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{label:<13} {}", escape_line(text))
}

fn list(numbers: &[u32]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    texts.join(", ")
}

/// How far the server's clock is from ours.
fn difference(server: Timestamp, here: Timestamp) -> String {
    let (ahead, behind) = (server.since(here), here.since(server));
    if ahead >= behind {
        format!("{} s ahead of this one", ahead.as_secs())
    } else {
        format!("{} s behind this one", behind.as_secs())
    }
}

const fn role_name(role: StreamRole) -> &'static str {
    match role.role() {
        Some(role) => role.name(),
        None => "operator",
    }
}

const fn state_name(state: RoleCondition) -> &'static str {
    match state {
        RoleCondition::Open => "open",
        RoleCondition::Closed => "closed",
        RoleCondition::Off => "off",
    }
}

const fn registration_name(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open",
        Registration::Closed => "closed",
        Registration::Invite => "by invitation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{RoleReport, SecretKey};

    fn reply() -> InfoReply {
        let report = RoleReport {
            state: RoleCondition::Closed,
            why: Some("not \u{1b}reachable".into()),
            since: Timestamp::MIN,
        };
        InfoReply {
            name: "a\nserver".into(),
            software: "mosaicd".into(),
            version: "1".into(),
            spec: "0.8".into(),
            key: SecretKey::from_seed([1; 32]).public(),
            description: None,
            contact: None,
            terms: None,
            endpoints: vec![],
            roles: [(StreamRole::Outbox, report)].into(),
            applications: vec![1, 99],
            limits: InfoLimits {
                record_bytes: 1,
                blob_bytes: 2,
                filter_bytes: 3,
                query_results: 4,
                subscriptions_per_stream: 5,
                streams: 6,
                submissions_per_second: 7,
                retention_seconds: None,
            },
            registration: Registration::Invite,
            probes: false,
            now: Timestamp::now(),
            you: None,
            refused: None,
        }
    }

    #[test]
    fn what_a_server_says_about_itself_is_escaped() {
        let mut out = Vec::new();
        Said::new(&reply()).write_text(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("a\\nserver"), "{text}");
        assert!(text.contains("closed: not \\u{1b}reachable"), "{text}");
        assert!(text.contains("1, 99"), "{text}");
    }

    #[test]
    fn programs_get_every_field_by_name() {
        let row = InfoRow {
            key: Blob::server(&reply().key),
            address: "192.0.2.1:1320".into(),
            granted: vec![],
            said: Some(Said::new(&reply())),
        };
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["roles"]["outbox"]["state"], "closed");
        assert_eq!(json["limits"]["streams"], 6);
        assert_eq!(json["registration"], "invite");
        assert!(rmp_serde::to_vec_named(&row).is_ok());
    }
}
