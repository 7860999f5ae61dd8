//! Rows side by side, and what is printed of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::Outcome;
use crate::arguments::{Arguments, Task};
use crate::play::{Leg, Pace, Played, play, prove};
use crate::rows::{self, Row};
use crate::{sandbox, scenarios};

/// Does what the command line says. Returns whether all agreed.
///
/// # Errors
/// There can be no laboratory here, or the command line makes no sense.
pub(crate) fn run(words: impl Iterator<Item = String>) -> Outcome<bool> {
    let arguments = Arguments::parse(words)?;
    let rows = rows::all();
    let is_filtered_out = arguments.task == Task::Table && !arguments.chooses_any(&rows);
    if is_filtered_out {
        println!("laboratory: no row has such a name");
        return Ok(true);
    }
    if arguments.task == Task::List {
        list(&rows);
        return Ok(true);
    }
    let entered = sandbox::enter().and_then(|()| stop_on_signals());
    entered.map(|()| work(rows, &arguments))
}

fn work(rows: Vec<Row>, arguments: &Arguments) -> bool {
    let chosen: Vec<Row> = rows
        .into_iter()
        .filter(|row| arguments.chooses(row))
        .collect();
    match arguments.task {
        Task::List => true,
        Task::SelfTest => self_test(&chosen, arguments),
        Task::Hunt => hunt(&chosen, arguments),
        Task::Scenario(name) => scenarios::report(name, &scenarios::play(name, arguments.scale)),
        Task::Table => self_test(&chosen, arguments) && table(&chosen, arguments),
    }
}

fn list(rows: &[Row]) {
    for row in rows {
        println!("row_{:4} {}", row.id, row.topology);
    }
    for name in scenarios::NAMES {
        println!("{name}");
    }
}

/// The first process of a namespace ignores signals that it does not ask for.
fn stop_on_signals() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt()).unwrap();
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    });
    Ok(())
}

/// Does `work` for each of `items`, `jobs` at a time.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { break };
                    let result = work(item);
                    done.lock().unwrap().push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn self_test(rows: &[Row], arguments: &Arguments) -> bool {
    let begin = Instant::now();
    let pace = pace(arguments, LASTS_SECONDS);
    let proved = side_by_side(rows, arguments.jobs, |row| {
        prove(row, &format!("proof{}", row.id), pace)
    });
    let mut is_fine = true;
    for (row, outcome) in rows.iter().zip(proved) {
        if let Err(why) = outcome {
            is_fine = false;
            println!(
                "topology {} ({}) is not what it should be: {why}",
                row.id, row.topology
            );
        }
    }
    let verdict = if is_fine {
        "are as they should be"
    } else {
        "were tried"
    };
    let seconds = begin.elapsed().as_secs_f64();
    println!("{} topologies {verdict}, {seconds:.0} s", rows.len());
    is_fine
}

/// Something of the table: a row, or a scene beside it.
enum Item<'a> {
    Row(&'a Row),
    Scenario(&'static str),
}

/// What came of it.
enum Done {
    Row(Played),
    Scenario(&'static str, Outcome<String>),
}

fn table(rows: &[Row], arguments: &Arguments) -> bool {
    let begin = Instant::now();
    let pace = pace(arguments, LASTS_SECONDS);
    // What takes longest comes first.
    let scenarios = scenarios::NAMES.into_iter();
    let mut items: Vec<Item<'_>> = scenarios
        .filter(|name| arguments.chooses_scenario(name))
        .map(Item::Scenario)
        .collect();
    items.extend(rows.iter().map(Item::Row));
    let done = side_by_side(&items, arguments.jobs, |item| {
        let (name, done) = match item {
            Item::Row(row) => {
                let played = play(row, &format!("row{}", row.id), pace);
                (format!("row {}", row.id), Done::Row(played))
            }
            Item::Scenario(name) => {
                let outcome = scenarios::play(name, arguments.scale);
                ((*name).to_owned(), Done::Scenario(name, outcome))
            }
        };
        let word = if done.has_failed() {
            "FAILED"
        } else {
            "agrees"
        };
        println!(
            "{name:18} {word} after {:.0} s",
            begin.elapsed().as_secs_f64()
        );
        done
    });
    let failed = print_table(rows, &done);
    println!(
        "\n{} rows and scenes, {failed} disagree, {:.0} s, time shortened to {:.3}",
        items.len(),
        begin.elapsed().as_secs_f64(),
        arguments.scale
    );
    failed == 0
}

impl Done {
    const fn has_failed(&self) -> bool {
        match self {
            Self::Row(played) => played.failure.is_some(),
            Self::Scenario(_, outcome) => outcome.is_err(),
        }
    }
}

/// Prints everything, and returns how much of it disagrees.
fn print_table(rows: &[Row], done: &[Done]) -> usize {
    println!();
    print_heading();
    let played = || {
        done.iter().filter_map(|done| match done {
            Done::Row(played) => Some(played),
            Done::Scenario(..) => None,
        })
    };
    for (row, played) in rows.iter().zip(played()) {
        print_row(row, played);
    }
    let mut failed = print_failures(played());
    for done in done {
        if let Done::Scenario(name, outcome) = done {
            println!();
            failed += usize::from(!scenarios::report(name, outcome));
        }
    }
    failed
}

/// Rows in which a false PUBLIC lurks, or those that were named, each played many times, and watched
/// for longer.
fn hunt(rows: &[Row], arguments: &Arguments) -> bool {
    let is_hunted = |row: &&Row| arguments.names_rows() || HUNTED.contains(&row.id);
    let hunted: Vec<&Row> = rows.iter().filter(is_hunted).collect();
    let repeat = arguments.repeat;
    let runs: Vec<(usize, &Row)> = (0..repeat)
        .flat_map(|run| hunted.iter().map(move |row| (run, *row)))
        .collect();
    let pace = pace(arguments, HUNT_LASTS_SECONDS);
    let played = side_by_side(&runs, arguments.jobs, |(run, row)| {
        play(row, &format!("hunt{run}x{}", row.id), pace)
    });
    for row in &hunted {
        let of_row = || played.iter().filter(|played| played.id == row.id);
        let failed = of_row().filter(|played| played.failure.is_some()).count();
        let mut verdicts: Vec<&str> = of_row()
            .flat_map(|played| &played.legs)
            .map(|leg| leg.reached.as_str())
            .collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        println!(
            "row {:4} {:60} {repeat} runs, {failed} disagree: {}",
            row.id,
            row.topology,
            verdicts.join(", ")
        );
    }
    print_failures(played.iter()) == 0
}

const fn pace(arguments: &Arguments, for_seconds: u32) -> Pace {
    Pace {
        scale: arguments.scale,
        for_seconds,
        shows: arguments.shows,
    }
}

fn print_heading() {
    println!(
        "{:4} {:62} {:24} {:11} {:>7} roles as tried, (closed)",
        "row", "topology", "expected", "reached", "time"
    );
}

fn print_row(row: &Row, played: &Played) {
    let mut legs = played.legs.iter();
    match legs.next() {
        Some(leg) => print_leg(row.id, row.topology, leg),
        None => println!("{:4} {:62} {}", row.id, row.topology, "FAILED"),
    }
    for leg in legs {
        print_leg("", &format!("   then {}", leg.what), leg);
    }
    if played.failure.is_some() && !played.legs.is_empty() {
        println!("{:4} {:62} FAILED", "", "   then");
    }
}

fn print_leg(id: &str, topology: &str, leg: &Leg) {
    let shut = leg.shut_after.map(|after| after.as_secs_f64());
    let shut = shut.map(|after| format!(", shut after {after:.1} s"));
    println!(
        "{id:4} {topology:62} {:24} {:11} {:5.1} s {}{}",
        leg.expected,
        leg.reached,
        leg.after.as_secs_f64(),
        leg.roles,
        shut.unwrap_or_default()
    );
}

fn print_failures<'a>(played: impl Iterator<Item = &'a Played>) -> usize {
    let mut count = 0;
    for played in played {
        if let Some(why) = &played.failure {
            count += 1;
            println!("\nrow {} disagrees: {why}", played.id);
        }
    }
    count
}

/// Time for which a first verdict must last: that of a promotion, twice.
const LASTS_SECONDS: u32 = 450;

/// The same where a false PUBLIC is looked for.
const HUNT_LASTS_SECONDS: u32 = 900;

/// Rows in which a false PUBLIC lurks.
const HUNTED: [&str; 10] = ["3", "7", "8", "9", "10", "39", "39b", "39c", "40", "54"];
