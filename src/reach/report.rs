//! The evidence as a table for people.

use std::fmt::{self, Display, Write as _};

use super::plan::{EndpointReport, ListenerReport, ProberReport, Report, UrlReport, VoteReport};

impl Display for Report {
    /// Verdict and remedy, then each listener, each endpoint with its evidence, the probers, and
    /// what else an operator should look at. Several lines, each with its line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_open { "open" } else { "closed" };
        writeln!(f, "verdict      {} (public roles {state})", self.verdict)?;
        writeln!(f, "             {}", self.why)?;
        if let Some(scale) = self.time_scale {
            writeln!(
                f,
                "             LABORATORY: every interval is multiplied by {scale}"
            )?;
        }
        if !self.is_settled {
            writeln!(f, "             the test is still under way")?;
        }
        self.listeners.iter().try_for_each(|it| listener(f, it))?;
        self.endpoints.iter().try_for_each(|it| endpoint(f, it))?;
        self.urls.iter().try_for_each(|it| url(f, it))?;
        self.probers.iter().try_for_each(|it| prober(f, it))?;
        for warning in &self.warnings {
            writeln!(f, "warning      {warning}")?;
        }
        Ok(())
    }
}

fn listener(f: &mut fmt::Formatter<'_>, it: &ListenerReport) -> fmt::Result {
    let state = if it.is_open { "open" } else { "closed" };
    let (transport, bound) = (it.transport, it.bound);
    writeln!(
        f,
        "listener     {transport} {bound}: {state} for {}",
        age(it.since_secs)
    )?;
    writeln!(f, "             {}", it.why)
}

fn endpoint(f: &mut fmt::Formatter<'_>, it: &EndpointReport) -> fmt::Result {
    let verdict = it.verdict;
    let interface = it.interface.as_deref().map(|name| format!(" on {name}"));
    let interface = interface.unwrap_or_default();
    let (transport, address, known) = (it.transport, &it.endpoint, it.known);
    writeln!(
        f,
        "endpoint     {transport} {address} ({known}{interface}): {verdict}, {}",
        it.standing
    )?;
    let votes = [
        ("reached from", &it.reached),
        ("translated", &it.translated),
        ("proxied", &it.proxied),
        ("not reached from", &it.failed),
        ("no stranger via", &it.failed_cold),
        ("contradicted", &it.contradicted),
    ];
    for (label, votes) in votes.into_iter().filter(|(_, votes)| !votes.is_empty()) {
        writeln!(
            f,
            "             {label:<16} {}",
            list(votes.iter().map(vote))
        )?;
    }
    if !it.arrived_at.is_empty() {
        writeln!(
            f,
            "             {:<16} {}",
            "arrived at",
            list(&it.arrived_at)
        )?;
    }
    if !it.observed.is_empty() {
        let seen = it
            .observed
            .iter()
            .map(|seen| format!("{} ({} networks)", seen.ip, seen.networks));
        writeln!(f, "             {:<16} {}", "seen as", list(seen))?;
    }
    if it.canaries_asked > 0 {
        let (arrived, asked) = (it.canaries_arrived, it.canaries_asked);
        writeln!(
            f,
            "             {:<16} {arrived} of {asked} arrived",
            "fresh ports"
        )?;
    }
    for dropped in &it.discarded {
        let (from, why, age) = (dropped.from, &dropped.why, age(dropped.age_secs));
        writeln!(
            f,
            "             {:<16} {from}, {age} ago: {why}",
            "does not count"
        )?;
    }
    let (strangers, refusals, flips) = (it.spontaneous, it.refusals, it.flips);
    write!(
        f,
        "             strangers from {strangers} networks, {refusals} refusals, {flips} flips a day"
    )?;
    match it.next_probe_secs {
        Some(0) => writeln!(f, "; a probe is under way"),
        Some(seconds) => writeln!(f, "; next probe in {}", age(seconds)),
        None => writeln!(f),
    }
}

fn url(f: &mut fmt::Formatter<'_>, it: &UrlReport) -> fmt::Result {
    let finding = it.finding.as_deref().unwrap_or("not looked at yet");
    writeln!(f, "url          {}: {}, {finding}", it.url, it.verdict)
}

fn prober(f: &mut fmt::Formatter<'_>, it: &ProberReport) -> fmt::Result {
    let mut line = String::new();
    if it.is_pinned {
        line.push_str(", witness");
    }
    if !it.networks.is_empty() {
        write!(line, ", {}", it.networks.join(" "))?;
    }
    if it.strikes > 0 {
        write!(line, ", {} strikes", it.strikes)?;
    }
    if let (Some(last), Some(secs)) = (&it.last, it.last_age_secs) {
        write!(line, ", {} ago: {last}", age(secs))?;
    }
    writeln!(f, "prober       {}: {}{line}", it.address, it.state)
}

fn vote(it: &VoteReport) -> String {
    let cold = if it.is_cold { ", cold" } else { "" };
    format!(
        "{} ({}{cold}, {} ago)",
        it.network,
        it.what,
        age(it.age_secs)
    )
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join("; ")
}

/// Seconds in the largest unit that leaves a number worth reading.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
