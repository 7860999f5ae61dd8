//! What `mosaicd status --json` says.

use serde_json::Value;

use crate::Outcome;
use crate::rows::Expect;

/// The part of a status that the rows are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The verdict on the best endpoint.
    pub(crate) verdict: String,
    /// Whether any listener serves outbox, inbox or encryption.
    pub(crate) is_open: bool,
    /// Whether the evidence says so too.
    says_open: bool,
    /// Endpoints and URLs, with the verdict of each.
    endpoints: Vec<(String, String)>,
}

impl Status {
    /// Reads a status.
    pub(crate) fn parse(json: &[u8]) -> Outcome<Self> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(json)))?;
        let reach = &value["reachability"];
        let list = |name: &str| reach[name].as_array().cloned().unwrap_or_default();
        let endpoints = list("endpoints").into_iter().map(|one| {
            let name = format!("{} {}", text(&one["transport"]), text(&one["endpoint"]));
            (name, text(&one["verdict"]))
        });
        let urls = list("urls").into_iter();
        let urls = urls.map(|one| (text(&one["url"]), text(&one["verdict"])));
        let roles = value["listeners"].as_array().ok_or("no listeners")?;
        let is_open = roles
            .iter()
            .filter_map(|listener| listener["roles"].as_array())
            .flatten()
            .any(|role| role["role"] != "application" && role["state"] == "open");
        Ok(Self {
            verdict: text(&value["verdict"]),
            is_open,
            says_open: reach["is_open"].as_bool().ok_or("no is_open")?,
            endpoints: endpoints.chain(urls).collect(),
        })
    }

    /// Whether it is as `expect` wants it.
    pub(crate) fn is(&self, expect: &Expect) -> bool {
        let has = |name: &str, list: &[mosaicd::reach::verdict::Verdict]| {
            list.iter().any(|verdict| verdict.name() == name)
        };
        has(&self.verdict, expect.verdicts)
            && self.is_open == expect.is_open
            && self.says_open == self.is_open
            && expect.endpoints.iter().all(|(part, verdicts)| {
                let mut found = self
                    .endpoints
                    .iter()
                    .filter(|(name, _)| name.contains(part));
                found.any(|(_, verdict)| has(verdict, verdicts))
            })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.is_open { "open" } else { "closed" };
        write!(f, "{} ({state})", self.verdict)?;
        for (name, verdict) in &self.endpoints {
            write!(f, " {name}={verdict}")?;
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
