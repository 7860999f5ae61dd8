//! `mosaicd check`, beside a running server and without one: its exit code is 0 for PUBLIC alone.

use crate::Outcome;
use crate::play::{Pace, settle};
use crate::rows;
use crate::stage::Stage;
use crate::world::World;

/// Plays it. Returns what was seen.
pub(super) fn run(scale: f64) -> Outcome<String> {
    let public = in_row("1", ("PUBLIC", 0), scale)?;
    let translated = in_row("5", ("NAT", 1), scale)?;
    Ok(format!("{public}\n{translated}"))
}

/// Checks the server of a row while it runs, and its addresses when it does not.
fn in_row(id: &str, expected: (&str, i32), scale: f64) -> Outcome<String> {
    let row = rows::named(id);
    let scene = (row.build)(World::internet(&format!("check{id}"), scale)?)?;
    let mut stage = Stage::set(&scene, scale)?;
    let pace = Pace {
        scale,
        for_seconds: 0,
        shows: false,
    };
    settle(&mut stage, &row, pace)?;
    let running = check(&stage, expected)?;
    stage.stop_server();
    let alone = check(&stage, expected)?;
    Ok(format!("running: {running}; without a server: {alone}"))
}

/// The line of the verdict.
fn check(stage: &Stage<'_>, (verdict, code): (&str, i32)) -> Outcome<String> {
    let output = stage.operate("check", &[])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with("verdict"));
    let line = line.unwrap_or_default().to_owned();
    if output.status.code() != Some(code) || !line.contains(verdict) {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "not {verdict} and {code}, but {}:\n{text}{errors}",
            output.status
        ));
    }
    Ok(format!("exit {code}, {line}"))
}
