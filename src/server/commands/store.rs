//! `mosaicd store verify` and `mosaicd store stats`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::CommandError;
use super::arguments::{File, StoreArguments};
use crate::base::Role;
use crate::server::data::store_folder;
use crate::store::{Counts, FileTotal, Pass, Progress, Report, Stats, Store, StoreOptions};
use crate::verify::Verifier;
use crate::wire::RecordRef;

/// Reads everything again. An error where something is wrong, after saying what.
pub(super) fn verify(arguments: &StoreArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let (store, path) = open(arguments)?;
    let mut bar = Bar::new();
    let mut verifier = Verifier::new(KEYS_REMEMBERED);
    let mut inspect = |records: &[RecordRef<'_>]| {
        let outcomes = verifier.batch(records).into_iter();
        outcomes
            .map(|outcome| outcome.map_err(|error| error.to_string()))
            .collect()
    };
    let report = store.verify(&mut inspect, &mut |progress| bar.show(progress));
    bar.clear();
    let report = report.map_err(|source| CommandError::Store { path, source })?;
    let written = if arguments.json {
        writeln!(out, "{}", report_json(&report))
    } else {
        write_report(out, &report)
    };
    written.map_err(CommandError::Output)?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(CommandError::Problems)
    }
}

/// Says how much is stored.
pub(super) fn stats(arguments: &StoreArguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let (store, path) = open(arguments)?;
    let stats = store.stats();
    let stats = stats.map_err(|source| CommandError::Store { path, source })?;
    let written = if arguments.json {
        writeln!(out, "{}", stats_json(&stats))
    } else {
        write_stats(out, &stats)
    };
    written.map_err(CommandError::Output)
}

/// Opens the store that the arguments name; makes none.
fn open(arguments: &StoreArguments) -> Result<(Store, PathBuf), CommandError> {
    let settings = &arguments.settings;
    let is_data_enough = settings.data.is_some() && settings.config.is_none();
    let file = if is_data_enough {
        File::IfNamed
    } else {
        File::Needed
    };
    let config = settings.sources(file).load()?;
    let path = store_folder(&config.data_dir);
    if !path.is_dir() {
        return Err(CommandError::NoStore(path));
    }
    match Store::open(&path, StoreOptions::default()) {
        Ok(store) => Ok((store, path)),
        Err(source) => Err(CommandError::Store { path, source }),
    }
}

/// A progress bar on a terminal; nothing elsewhere.
struct Bar {
    bar: ProgressBar,
    pass: Option<Pass>,
}

impl Bar {
    fn new() -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, pass: None }
    }

    fn show(&mut self, progress: Progress) {
        if self.pass != Some(progress.pass) {
            self.pass = Some(progress.pass);
            self.bar.reset();
            self.bar.set_message(match progress.pass {
                Pass::Log => "records",
                Pass::Index => "index",
                Pass::StrayKeys => "stray keys",
            });
        }
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn write_report(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    let listed = u64::try_from(report.problems.len()).unwrap_or(u64::MAX);
    let more = report.problems_total.saturating_sub(listed);
    if more > 0 {
        writeln!(out, "and {more} more")?;
    }
    let (entries, counts) = (report.entries, &report.counts);
    writeln!(
        out,
        "read {entries} log entries: {} records ({} held), {} index keys, {} users, {} acts, {} IDs removed",
        counts.records, counts.held, counts.index_keys, counts.users, counts.acts, counts.removed
    )?;
    let blobs = &report.blobs;
    writeln!(out, "read {} BLOBs: {} bytes", blobs.blobs, blobs.bytes)?;
    match report.problems_total {
        0 => writeln!(out, "no problems"),
        1 => writeln!(out, "1 problem"),
        total => writeln!(out, "{total} problems"),
    }
}

fn report_json(report: &Report) -> Value {
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    json!({
        "entries": report.entries,
        "records": report.counts.records,
        "index_keys": report.counts.index_keys,
        "users": report.counts.users,
        "held": report.counts.held,
        "acts": report.counts.acts,
        "removed": report.counts.removed,
        "blobs": report.blobs.blobs,
        "blob_bytes": report.blobs.bytes,
        "problems": problems,
        "problems_total": report.problems_total,
    })
}

fn write_stats(out: &mut dyn Write, stats: &Stats) -> std::io::Result<()> {
    let counts = &stats.counts;
    let mut row = |name: &str, count: u64, bytes: Option<u64>| match bytes {
        Some(bytes) => writeln!(out, "{name:<14}{count:>14}{bytes:>18} bytes"),
        None => writeln!(out, "{name:<14}{count:>14}"),
    };
    row("records", counts.records, Some(counts.record_bytes))?;
    for role in Role::ALL {
        let count = counts.of(role);
        row(&format!("  {role}"), count.records, Some(count.bytes))?;
    }
    row("held", counts.held, None)?;
    row("replaced", counts.gone, None)?;
    row("removed", counts.removed, None)?;
    row("users", counts.users, None)?;
    row("acts", counts.acts, None)?;
    row("BLOBs", stats.blobs.blobs, Some(stats.blobs.bytes))?;
    row("index keys", counts.index_keys, None)?;
    row("log entries", stats.tail.get(), None)?;
    for (name, total) in files(stats) {
        row(name, total.files, Some(total.bytes))?;
    }
    writeln!(out, "on disk {:>38} bytes", stats.files.bytes())?;
    if stats.tail.get() > 0 {
        writeln!(out, "last entry {:>35}", stats.last_received.to_string())?;
    }
    Ok(())
}

fn stats_json(stats: &Stats) -> Value {
    let counts: &Counts = &stats.counts;
    let roles = Role::ALL.map(|role| {
        let count = counts.of(role);
        let value = json!({ "records": count.records, "bytes": count.bytes });
        (role.name().to_owned(), value)
    });
    let files = files(stats).map(|(name, total)| {
        let value = json!({ "files": total.files, "bytes": total.bytes });
        (name.replace([' ', '-'], "_"), value)
    });
    json!({
        "records": counts.records,
        "record_bytes": counts.record_bytes,
        "roles": serde_json::Map::from_iter(roles),
        "replaced": counts.gone,
        "users": counts.users,
        "held": counts.held,
        "removed": counts.removed,
        "acts": counts.acts,
        "index_keys": counts.index_keys,
        "log_entries": stats.tail.get(),
        "blobs": stats.blobs.blobs,
        "blob_bytes": stats.blobs.bytes,
        "files": serde_json::Map::from_iter(files),
        "disk_bytes": stats.files.bytes(),
    })
}

fn files(stats: &Stats) -> [(&'static str, FileTotal); 4] {
    let files = &stats.files;
    [
        ("tables", files.tables),
        ("blobs", files.blobs),
        ("write-ahead", files.write_ahead),
        ("other files", files.other),
    ]
}

const BAR: &str = "{msg:>10} {wide_bar} {human_pos}/{human_len} {eta}";

/// Curve points of authors that are remembered from one batch to the next.
const KEYS_REMEMBERED: usize = 4_096;
