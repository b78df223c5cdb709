//! Calls that fail, at either side, while users do something: for a moment, or until the error is
//! gone. Nothing is lost and nothing half done is to be seen, no server ends, what waits says why,
//! and when the error is gone all goes on by itself. LAB3_FULL=1 takes every call that is made,
//! else a few that a seed chooses.

use std::time::Instant;

use common::side::Side;

use crate::dice::Dice;
use crate::sweep::{each, is_full, play, some};
use crate::sweep_round::Round;
use crate::sweep_scenarios::{SCENARIOS, Scenario, When};
use crate::sweep_strace::{CALLS, Call, calls, can_trace};
use crate::system::skip;

/// Rounds that are under way at once; most of the time they wait for a next try.
const WORKERS: usize = 4;
/// What the short form does.
const SHORT_CASES: usize = 24;
/// Calls that only read; they fail, too.
const READS: &str = "read,pread64,getdents64,statx,newfstatat,inotify_add_watch,recvfrom";

/// In this scenario this call of this server fails.
#[derive(Clone)]
struct Case {
    scenario: &'static Scenario,
    target: Side,
    call: Call,
    error: String,
    /// From then on every such call of the thread fails.
    lasts: bool,
}

impl Case {
    fn word(&self) -> String {
        let lasts = if self.lasts { "+" } else { "" };
        let (name, target, call) = (self.scenario.name, self.target, self.call.word());
        format!("{name}/{target}/{call}/{}{lasts}", self.error)
    }

    fn from_word(word: &str) -> Option<Case> {
        let parts: Vec<&str> = word.split('/').collect();
        let &[name, side, call, error] = parts.as_slice() else { return None };
        Some(Case {
            scenario: SCENARIOS.iter().find(|scenario| scenario.name == name)?,
            target: Side::BOTH.into_iter().find(|target| target.to_string() == side)?,
            call: Call::from_word(call)?,
            error: error.trim_end_matches('+').to_owned(),
            lasts: error.ends_with('+'),
        })
    }

    fn options(&self) -> [String; 4] {
        let first = self.call.nth;
        let when = match (self.lasts, self.error.as_str()) {
            (true, _) => format!("{first}+"),
            // Nobody is interrupted only once.
            (false, "EINTR") => format!("{first}..{}", first + 2),
            (false, _) => first.to_string(),
        };
        self.call.inject(&format!("error={}:when={when}", self.error))
    }
}

/// How a call can fail.
fn errors_of(name: &str) -> &'static [&'static str] {
    match name {
        "openat" | "openat2" => {
            &["EMFILE", "EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOMEM", "EINTR"]
        }
        "write" | "pwrite64" | "ftruncate" | "fallocate" | "copy_file_range" => {
            &["ENOSPC", "EIO", "EDQUOT", "EINTR"]
        }
        "fsync" | "fdatasync" | "syncfs" => &["EIO", "ENOSPC", "EDQUOT"],
        "mkdirat" | "symlinkat" | "linkat" | "renameat" | "renameat2" | "rename" | "mkdir" => {
            &["ENOSPC", "EIO", "EDQUOT", "EACCES", "EROFS", "ENOMEM"]
        }
        "unlinkat" | "unlink" | "fchmod" | "utimensat" => &["EIO", "EACCES", "EROFS", "ENOMEM"],
        "read" | "pread64" => &["EIO", "ENOMEM", "EINTR"],
        "getdents64" | "statx" | "newfstatat" => &["EIO", "EACCES", "ENOMEM"],
        "inotify_add_watch" => &["ENOSPC", "ENOMEM", "EACCES"],
        "sendto" | "recvfrom" => &["ECONNRESET", "ENOMEM", "EINTR"],
        _ => &[],
    }
}

/// Runs one case; answers whether the error was still there when somebody had to look.
fn run(case: &Case) -> bool {
    let mut round = Round::new(case.target);
    round.fails = true;
    round.leaves = case.call.name.starts_with("unlink");
    play(&mut round, case.scenario, &case.call.thread, &case.options());
    assert!(!round.is_gone(), "the server ended");
    round.untrace();
    round.verify();
    (case.scenario.check)(&round);
    assert_eq!(round.kills, 0, "the server ended");
    round.healed
}

/// The calls that a server makes in a scenario, on files and on the link.
fn count(scenario: &Scenario, target: Side) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().expect("a log");
    let file = log.path().display().to_string();
    let trace = format!("trace={CALLS},{READS}");
    let options = ["-f", "-y", "-s", "0", "-o", &file, "-e", &trace].map(str::to_owned);
    let mut round = Round::new(target);
    play(&mut round, scenario, "", &options);
    let names = round.threads.clone();
    round.untrace();
    round.verify();
    calls(log.path(), Some(&names), false)
}

/// What can go wrong with these calls: the first of a thread in every way, also for long; the
/// others in one way each.
fn failures(place: (&'static Scenario, Side), calls: Vec<Call>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, call) in calls.into_iter().enumerate() {
        let errors = errors_of(&call.name);
        if errors.is_empty() || call.thread.starts_with("notify") {
            continue;
        }
        let of = |error: &str, lasts| Case {
            scenario: place.0,
            target: place.1,
            call: call.clone(),
            error: error.to_owned(),
            lasts,
        };
        if call.nth > 1 {
            cases.push(of(errors[at % errors.len()], false));
            continue;
        }
        cases.extend(errors.iter().map(|error| of(error, false)));
        // Who is interrupted for ever never gets anywhere.
        let lasting: Vec<&&str> = errors.iter().filter(|error| **error != "EINTR").collect();
        cases.push(of(lasting[0], true));
        cases.push(of(lasting[1 + at % (lasting.len() - 1)], true));
    }
    cases
}

fn sweep(cases: &[Case], failed_before: usize, begun: Instant) {
    let (healed, failed) = each((cases, WORKERS), "LAB3_ERROR", Case::word, run);
    let failed = failed + failed_before;
    eprintln!(
        "failing calls: {} cases, {} in which an error was visible until it was gone, {failed} \
         failed, {:.0} s",
        cases.len(),
        healed.iter().filter(|healed| **healed).count(),
        begun.elapsed().as_secs_f32(),
    );
    assert_eq!(failed, 0, "run one case again with LAB3_ERROR=… as shown above");
}

/// A call that fails, once or until the error is gone, loses nothing and ends no server; what
/// waits says why, and goes on by itself (G01, G03, G05-G07, G14).
#[test]
fn a_call_that_fails_is_visible_and_all_goes_on_when_the_error_is_gone() {
    if !can_trace() {
        return skip("the sweep of failing calls", "strace cannot trace here");
    }
    let begun = Instant::now();
    if let Ok(word) = std::env::var("LAB3_ERROR") {
        let case = Case::from_word(&word).expect("SCENARIO/SIDE/THREAD:CALL:N/ERROR");
        return sweep(&[case], 0, begun);
    }
    let mut dice = Dice::from_environment();
    let only = std::env::var("LAB3_SCENARIO").ok();
    let wanted = |it: &&Scenario| {
        let is_chosen = only.as_ref().is_none_or(|name| name == it.name);
        it.when == When::Running && it.meanwhile.is_none() && is_chosen
    };
    let places: Vec<(&'static Scenario, Side)> = SCENARIOS
        .iter()
        .filter(wanted)
        .flat_map(|scenario| Side::BOTH.map(|side| (scenario, side)))
        .collect();
    let places = if is_full() { places } else { some(&places, 4, &mut dice) };
    let name = |place: &(&Scenario, Side)| format!("{}/{}", place.0.name, place.1);
    let (found, failed) = each((&places, WORKERS), "counting", name, |place| {
        failures(*place, count(place.0, place.1))
    });
    let mut cases: Vec<Case> = found.into_iter().flatten().collect();
    cases.sort_by_key(Case::word);
    let cases = if is_full() { cases } else { some(&cases, SHORT_CASES, &mut dice) };
    sweep(&cases, failed, begun);
}
