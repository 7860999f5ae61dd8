//! Scenes beside the table.

mod abuse;
mod attacker;
mod chat;
mod check;
mod moving;
mod records;

use crate::Outcome;

/// What there is.
pub(crate) const NAMES: [&str; 4] = ["abuse", "client-behind-nat", "chat-behind-nat", "check"];

/// The scenario of that name.
pub(crate) fn named(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// Plays one. Returns what was seen.
pub(crate) fn play(name: &str, scale: f64) -> Outcome<String> {
    match name {
        "abuse" => abuse::run(),
        "client-behind-nat" => moving::run(scale),
        "check" => check::run(scale),
        _ => chat::run(scale),
    }
}

/// Prints what came of one, and tells whether it went as it should.
pub(crate) fn report(name: &str, outcome: &Outcome<String>) -> bool {
    match outcome {
        Ok(text) => println!("{name}: as it should be\n{text}"),
        Err(why) => println!("{name} disagrees: {why}"),
    }
    outcome.is_ok()
}
