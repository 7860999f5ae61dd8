//! What is printed of a probe.

use std::io::{self, Write};

use serde::Serialize;

use super::super::args::ProbeCommand;
use super::super::output::Row;
use super::super::rows::Blob;
use super::Found;
use crate::reach::address;
use crate::reach::endpoint::Prober;
use crate::reach::evidence::ProbeAnswer;
use crate::wire::{ProbeCode, ProbeMode, ProbeOutcome, ProbeTransport, PublicKey};

/// What is printed. What is not this machine's own knowledge is the server's word.
#[derive(Debug, Serialize)]
pub(super) struct ProbeRow {
    server: Blob,
    address: String,
    mode: ProbeMode,
    transport: ProbeTransport,
    port: u16,
    /// This machine's address as the server sees it, and what kind of address that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_is_local: Option<bool>,
    /// The code of PROBE STATUS, or why there is none.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived: Option<ArrivedRow>,
    meaning: &'static str,
}

/// PROBE RESULT.
#[derive(Debug, Serialize)]
struct ResultRow {
    outcome: ProbeOutcome,
    control_ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialer: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialer_ip: Option<String>,
}

/// The dial-back, as it arrived here.
#[derive(Debug, Serialize)]
struct ArrivedRow {
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialer: Option<Blob>,
}

impl ProbeRow {
    pub(super) fn new(prober: &Prober, command: &ProbeCommand, port: u16, found: &Found) -> Self {
        let key = |key: Option<PublicKey>| key.map(|key| Blob::server(&key));
        let (status, result) = match found.end.answer {
            ProbeAnswer::NotReached => ("not-reached", None),
            ProbeAnswer::LocalError => ("local-error", None),
            ProbeAnswer::Unusable => ("no-answer", None),
            ProbeAnswer::Refused(code) => (code.name(), None),
            ProbeAnswer::Dialed {
                outcome,
                control_ok,
                dialer,
                dialer_ip,
            } => {
                let result = ResultRow {
                    outcome,
                    control_ok,
                    dialer: key(dialer),
                    dialer_ip: dialer_ip.map(|ip| ip.to_string()),
                };
                (ProbeCode::Accepted.name(), Some(result))
            }
        };
        let observed = found.end.observed;
        Self {
            server: Blob::server(&prober.key),
            address: prober.address.clone(),
            mode: command.mode,
            transport: command.transport,
            port,
            observed: observed.map(|address| address.to_string()),
            observed_class: observed.map(|it| address::class(it.ip()).to_string()),
            observed_is_local: found.is_local(),
            status,
            result,
            arrived: found.arrived.map(|arrived| ArrivedRow {
                from: arrived.from.to_string(),
                to: arrived.to.map(|ip| ip.to_string()),
                dialer: key(arrived.dialer),
            }),
            meaning: found.meaning(command.mode),
        }
    }
}

impl Row for ProbeRow {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(
            out,
            "server",
            &format!("{} {}", self.address, self.server.text()),
        )?;
        let (mode, transport, port) = (self.mode, self.transport, self.port);
        line(out, "asked", &format!("{mode}, {transport}, port {port}"))?;
        if let (Some(observed), Some(class)) = (&self.observed, &self.observed_class) {
            let whose = match self.observed_is_local {
                Some(true) => "an address of this machine",
                Some(false) => "not an address of this machine",
                None => "whose address it is, is not known",
            };
            line(out, "observed", &format!("{observed}, {class}, {whose}"))?;
        }
        line(out, "status", self.status)?;
        if let Some(result) = &self.result {
            let mut text = result.outcome.to_string();
            if let Some(ip) = &result.dialer_ip {
                text.push_str(&format!(", dialed from {ip}"));
            }
            if !result.control_ok && result.outcome != ProbeOutcome::Ok {
                text.push_str(", the dialer's own way out is not proved");
            }
            line(out, "result", &text)?;
        }
        match &self.arrived {
            None => line(out, "arrived", "no")?,
            Some(arrived) => {
                let to = arrived.to.as_deref().unwrap_or("an unknown address");
                let text = format!("yes, from {} to {to}", arrived.from);
                line(out, "arrived", &text)?;
            }
        }
        line(out, "meaning", self.meaning)
    }
}

fn line(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{label:<13} {text}")
}
