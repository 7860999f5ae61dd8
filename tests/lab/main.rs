//! The laboratory: real servers in worlds made of network namespaces, one for each way in which a
//! machine can stand in a network. What each server concludes is compared with what is so, and
//! with what an independent client can do there.
//!
//! Everything runs inside namespaces that have no link to the outside. Needs `unshare`, `ip` and
//! `nft`, and either root or user namespaces; without them it fails and says what is missing.
//!
//! | file | owns |
//! |------|------|
//! | `sandbox.rs` | the namespace around everything |
//! | `netns.rs`, `world.rs`, `shapes.rs` | hosts, links, addresses, firewalls |
//! | `udp.rs`, `proof.rs` | what a topology does, proved without any server |
//! | `rows/` | the table: topologies, and the verdicts they must get |
//! | `scene.rs`, `cast.rs` | who plays in a row |
//! | `stage.rs`, `process.rs`, `liar.rs`, `tor.rs` | the programs at work |
//! | `play.rs`, `status.rs`, `judge.rs` | watching the server, and trying its roles |
//! | `table.rs` | rows side by side, and the report |
//! | `scenarios/` | scenes beside the table |
//!
//! ```text
//! cargo test --release --test lab                              everything
//! cargo test --release --test lab -- --rows 1-10,40 --jobs 2   some rows
//! cargo test --release --test lab -- --selftest                the topologies alone
//! cargo test --release --test lab -- hunt --repeat 20          rows in which a false PUBLIC lurks
//! cargo test --release --test lab -- hunt --rows 46            the same with other rows
//! cargo test --release --test lab -- abuse                     a scene beside the table
//! cargo test --release --test lab -- list                      what there is
//! ```
//!
//! The modules say `cfg(test)` so that the lints know them for test code.

use std::process::ExitCode;

#[cfg(test)]
mod arguments;
#[cfg(test)]
mod cast;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod liar;
#[cfg(test)]
mod netns;
#[cfg(test)]
mod play;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod status;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tor;
#[cfg(test)]
mod udp;
#[cfg(test)]
mod world;

/// What a part of the laboratory comes to; an error is a text for people.
#[cfg(test)]
pub(crate) type Outcome<T = ()> = Result<T, String>;

#[cfg(test)]
fn main() -> ExitCode {
    match table::run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("laboratory: {why}");
            ExitCode::FAILURE
        }
    }
}
