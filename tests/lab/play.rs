//! Playing a row: the topology is built, everybody is started, and the server is watched until it
//! knows where it is.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::judge::Tried;
use crate::rows::{Expect, Row};
use crate::scene::address;
use crate::stage::Stage;
use crate::status::Status;
use crate::world::World;

/// What came of a row.
#[derive(Debug)]
pub(crate) struct Played {
    /// The row.
    pub(crate) id: &'static str,
    /// Each stretch of it: from the start, and from each change.
    pub(crate) legs: Vec<Leg>,
    /// What went wrong.
    pub(crate) failure: Option<String>,
}

/// From the start, or from a change, to a verdict.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) reached: String,
    pub(crate) roles: String,
    /// How long it took.
    pub(crate) after: Duration,
    /// How long after a change the roles were shut.
    pub(crate) shut_after: Option<Duration>,
}

/// How rows are played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The factor on all intervals.
    pub(crate) scale: f64,
    /// Seconds, before they are shortened, for which a first verdict must last.
    pub(crate) for_seconds: u32,
    /// Whether the evidence is printed where all agreed, too.
    pub(crate) shows: bool,
}

impl Pace {
    fn real(self, seconds: u32) -> Duration {
        Duration::from_secs(seconds.into()).mul_f64(self.scale)
    }
}

/// Proves that the topology of `row` is what it should be. `tag` tells its hosts from those of
/// other worlds.
pub(crate) fn prove(row: &Row, tag: &str, pace: Pace) -> Outcome {
    caught(|| {
        let world = World::internet(tag, pace.scale)?;
        let scene = (row.build)(world)?;
        (row.prove)(&scene)
    })
}

/// Plays `row` to its end, or to its first disagreement.
pub(crate) fn play(row: &Row, tag: &str, pace: Pace) -> Played {
    let mut played = Played {
        id: row.id,
        legs: Vec::new(),
        failure: None,
    };
    let legs = &mut played.legs;
    played.failure = caught(|| try_play(row, tag, pace, legs)).err();
    played
}

/// A panic of one row leaves the others alone.
fn caught(work: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("it panicked; standard error says where".to_owned()))
}

fn try_play(row: &Row, tag: &str, pace: Pace, legs: &mut Vec<Leg>) -> Outcome {
    let world = World::internet(tag, pace.scale)?;
    let scene = (row.build)(world)?;
    let mut stage = Stage::set(&scene, pace.scale)?;
    let played = play_on(row, &mut stage, pace, legs);
    if pace.shows && played.is_ok() {
        println!("row {}:\n{}", row.id, evidence(&mut stage));
    }
    played.map_err(|why| format!("{why}\n{}", evidence(&mut stage)))
}

fn play_on(row: &Row, stage: &mut Stage<'_>, pace: Pace, legs: &mut Vec<Leg>) -> Outcome {
    let first = Watch {
        what: "start",
        expect: row.expect,
        within: pace.real(FIRST_SECONDS) + SLACK,
        lasts: pace.real(pace.for_seconds),
        may_be_open: row.expect.is_open,
        outside: Some(stage.scene.outside),
    };
    legs.push(first.watch(stage)?);
    Tried::doors(stage.scene, &stage.folder())?;
    for step in row.steps {
        (step.change)(stage.scene)?;
        let watch = Watch {
            what: step.what,
            expect: step.expect,
            within: pace.real(step.within_seconds) + SLACK,
            lasts: pace.real(step.for_seconds),
            may_be_open: true,
            outside: match (step.for_seconds, step.outside) {
                (0, _) => None,
                (_, Some(moved)) => Some(address(moved)),
                (_, None) => Some(stage.scene.outside),
            },
        };
        legs.push(watch.watch(stage)?);
    }
    let may_open = row.expect.is_open || row.steps.iter().any(|step| step.expect.is_open);
    if !may_open && stage.server().output().contains("reachability: open") {
        return Err("the trace says that it was open for a moment".to_owned());
    }
    Ok(())
}

/// Waits for the first verdict of a scene beside the table.
pub(crate) fn settle(stage: &mut Stage<'_>, row: &Row, pace: Pace) -> Outcome<Status> {
    let watch = Watch {
        what: "start",
        expect: row.expect,
        within: pace.real(FIRST_SECONDS) + SLACK,
        lasts: pace.real(pace.for_seconds),
        may_be_open: row.expect.is_open,
        outside: None,
    };
    watch.wait(stage).map(|(status, ..)| status)
}

/// What is waited for.
struct Watch {
    what: &'static str,
    expect: Expect,
    /// Longest time to the verdict.
    within: Duration,
    /// Time for which it must last then.
    lasts: Duration,
    /// Whether the roles may be open before it.
    may_be_open: bool,
    /// Where a client outside looks for the server; `None`: the roles are not tried.
    outside: Option<SocketAddr>,
}

impl Watch {
    fn watch(&self, stage: &mut Stage<'_>) -> Outcome<Leg> {
        let (status, after, seen) = self.wait(stage)?;
        let mut leg = Leg {
            what: self.what,
            expected: self.expect.names().join("/"),
            reached: status.verdict.clone(),
            roles: "-".to_owned(),
            after,
            shut_after: seen.shut_after(),
        };
        let Some(outside) = self.outside else {
            return Ok(leg);
        };
        let tried = Tried::all(stage.scene, stage.folder(), outside, self.expect.is_open)?;
        leg.roles = tried.to_string();
        tried
            .agrees(self.expect.is_open, &self.expect.names())
            .map_err(|why| format!("{}: {status}, but {why}", self.what))?;
        Ok(leg)
    }

    /// Waits for a status that is as expected, and lasts.
    fn wait(&self, stage: &mut Stage<'_>) -> Outcome<(Status, Duration, Seen)> {
        let begin = Instant::now();
        let mut since: Option<Instant> = None;
        let mut seen = Seen::default();
        loop {
            stage.server().check()?;
            let status = stage.status()?;
            let elapsed = begin.elapsed();
            if let Some(status) = &status {
                seen.note(status, elapsed);
                let was_reached = since.is_some();
                match status.is(&self.expect) {
                    true => since = since.or(Some(Instant::now())),
                    false => since = None,
                }
                let must_be_shut = was_reached || !self.may_be_open;
                if status.is_open && !self.expect.is_open && must_be_shut {
                    return Err(format!("{}: it opened: {seen}", self.what));
                }
            }
            match (since, status) {
                (Some(since), Some(status)) if since.elapsed() >= self.lasts => {
                    return Ok((status, since - begin, seen));
                }
                (None, _) if elapsed > self.within => {
                    return Err(format!(
                        "{}: not {} ({}) within {:.1} s: {seen}",
                        self.what,
                        self.expect.names().join(" or "),
                        if self.expect.is_open {
                            "open"
                        } else {
                            "closed"
                        },
                        self.within.as_secs_f64()
                    ));
                }
                _ => sleep(POLL),
            }
        }
    }
}

/// What a server said of itself, one line for each change.
#[derive(Default)]
struct Seen(Vec<(Duration, Status)>);

impl Seen {
    /// When the roles were shut, if they were open before.
    fn shut_after(&self) -> Option<Duration> {
        let mut states = self.0.iter();
        states.find(|(_, status)| status.is_open)?;
        states
            .find(|(_, status)| !status.is_open)
            .map(|(at, _)| *at)
    }

    fn note(&mut self, status: &Status, at: Duration) {
        if self.0.last().is_none_or(|(_, last)| last != status) {
            self.0.push((at, status.clone()));
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it never answered");
        }
        for (at, status) in &self.0 {
            write!(f, "\n  {:6.1} s {status}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// What there is to look at after a failure.
fn evidence(stage: &mut Stage<'_>) -> String {
    let mut text = format!("status:\n{}\n", stage.status_text());
    text += &format!("trace of the server:\n{}\n", stage.server().tail(60));
    for other in stage.others() {
        text += &format!("{}:\n{}\n", other.name(), other.tail(12));
    }
    text.replace('\n', "\n  | ")
}

/// Longest time to a first verdict, before it is shortened: a few rounds, each waiting for the
/// probers to forget that they were contacted, and for dials in vain.
const FIRST_SECONDS: u32 = 1_500;

/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(200);
