//! A server is killed at a call, at each of them, at either side, while users do something; after
//! it was started again everything is as the users left it. LAB3_FULL=1 takes every call that is
//! made, else a few that a seed chooses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::side::Side;

use crate::dice::Dice;
use crate::sweep_round::Round;
use crate::sweep_scenarios::{SCENARIOS, Scenario, When};
use crate::sweep_strace::{CALLS, Call, calls, can_trace};
use crate::system::skip;

/// Rounds that are under way at once.
const WORKERS: usize = 2;
/// In the full form a call that was not made gets so many chances: threads take turns.
const TRIES: usize = 3;
/// What the short form does.
const SHORT_CASES: usize = 40;

/// One case: in this scenario this server ends at this call, and when it is started again, twice,
/// at that one.
#[derive(Clone)]
struct Case {
    scenario: &'static Scenario,
    target: Side,
    call: Call,
    again: Option<Call>,
}

impl Case {
    fn word(&self) -> String {
        let again = self.again.as_ref().map(|call| format!("/{}", call.word()));
        let again = again.unwrap_or_default();
        format!("{}/{}/{}{again}", self.scenario.name, self.target, self.call.word())
    }

    fn from_word(word: &str) -> Option<Case> {
        let mut parts = word.split('/');
        let name = parts.next()?;
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name)?;
        let side = parts.next()?;
        let target = Side::BOTH.into_iter().find(|target| target.to_string() == side)?;
        let call = Call::from_word(parts.next()?)?;
        Some(Case { scenario, target, call, again: parts.next().and_then(Call::from_word) })
    }
}

/// What came of a round.
struct Found {
    killed: u32,
    extra: usize,
}

/// Runs a scenario with a tracer on the target: `options` for the threads with this name.
pub(crate) fn play(round: &mut Round, scenario: &Scenario, thread: &str, options: &[String]) {
    round.system.start();
    round.settle();
    (scenario.before)(round);
    round.meanwhile = scenario.meanwhile;
    round.goes_on = scenario.meanwhile.is_some();
    match scenario.when {
        When::Running => {
            round.trace(thread, options);
            (scenario.act)(round);
            round.settle_or_gone();
            round.linger();
        }
        When::Starting => {
            round.system.stop(&[round.target]);
            (scenario.act)(round);
            if round.start_traced(options) {
                round.settle_or_gone();
            }
        }
        When::Stopping => {
            (scenario.act)(round);
            round.settle();
            round.trace(thread, options);
            round.end();
        }
    }
}

/// Runs one case; answers what came of it.
fn run(case: &Case) -> Found {
    let mut round = Round::new(case.target);
    if let Some(again) = &case.again {
        round.again = vec![again.kill().to_vec(); 2];
    }
    play(&mut round, case.scenario, &case.call.thread, &case.call.kill());
    if case.again.is_some() {
        round.settle();
    }
    round.again.clear();
    round.untrace();
    round.verify();
    (case.scenario.check)(&round);
    // The first only makes something to recover from.
    let first = u32::from(case.again.is_some());
    Found { killed: round.kills.saturating_sub(first), extra: round.extra }
}

fn run_with_chances(case: &Case) -> Found {
    let tries = if is_full() { TRIES } else { 1 };
    let mut found = run(case);
    for _ in 1..tries {
        if found.killed == 0 {
            found = run(case);
        }
    }
    found
}

/// Which calls the target makes in a scenario, or when it starts again after it was killed.
fn count(scenario: &'static Scenario, target: Side, killed_at: Option<&Call>) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().expect("a log");
    let file = log.path().display().to_string();
    let options = ["-f", "-s", "0", "-o", &file, "-e", &format!("trace={CALLS}")];
    let options = options.map(str::to_owned);
    let mut round = Round::new(target);
    match killed_at {
        None => play(&mut round, scenario, "", &options),
        Some(call) => {
            round.again = vec![options.to_vec()];
            play(&mut round, scenario, &call.thread, &call.kill());
            round.settle();
            if round.kills == 0 {
                return Vec::new();
            }
        }
    }
    let all = killed_at.is_some() || scenario.when == When::Starting;
    // A log is whole when whoever wrote it has ended by itself.
    let attached = !all;
    if attached {
        round.untrace();
    }
    let names = attached.then(|| round.threads.clone());
    round.verify();
    (scenario.check)(&round);
    calls(log.path(), names.as_ref(), true)
}

/// Does something with each, so many at a time; answers what came of it, and how many failed.
pub(crate) fn each<T: Sync, R: Send>(
    (items, workers): (&[T], usize),
    variable: &str,
    word: impl Fn(&T) -> String + Sync,
    work: impl Fn(&T) -> R + Sync,
) -> (Vec<R>, usize) {
    let next = AtomicUsize::new(0);
    let (done, failed) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match catch_unwind(AssertUnwindSafe(|| work(item))) {
                        Ok(result) => {
                            let mut done = done.lock().expect("no panic");
                            done.push(result);
                            if done.len() % 100 == 0 {
                                eprintln!("{} of {}", done.len(), items.len());
                            }
                        }
                        Err(_) => {
                            eprintln!("FAILED {variable}={}", word(item));
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    (done.into_inner().expect("no panic"), failed.into_inner())
}

/// The scenarios with which a sweep deals, at each side.
fn places() -> Vec<(&'static Scenario, Side)> {
    let only = std::env::var("LAB3_SCENARIO").ok();
    let chosen = SCENARIOS.iter().filter(|it| only.as_ref().is_none_or(|name| name == it.name));
    chosen.flat_map(|scenario| Side::BOTH.map(|side| (scenario, side))).collect()
}

/// The cases of these places, and how many places failed.
fn cases(places: &[(&'static Scenario, Side)]) -> (Vec<Case>, usize) {
    let word = |place: &(&'static Scenario, Side)| format!("{}/{}", place.0.name, place.1);
    let (found, failed) = each((places, WORKERS), "counting", word, |(scenario, target)| {
        let calls = count(scenario, *target, None).into_iter();
        let case = |call| Case { scenario, target: *target, call, again: None };
        calls.map(case).collect::<Vec<_>>()
    });
    let mut cases: Vec<Case> = found.into_iter().flatten().collect();
    cases.sort_by_key(Case::word);
    (cases, failed)
}

/// Takes so many of them, as a seed chooses.
pub(crate) fn some<T: Clone>(of: &[T], count: usize, dice: &mut Dice) -> Vec<T> {
    let mut left = of.to_vec();
    let mut taken = Vec::new();
    while taken.len() < count && !left.is_empty() {
        taken.push(left.swap_remove(dice.below(left.len() as u64) as usize));
    }
    taken
}

pub(crate) fn is_full() -> bool {
    std::env::var("LAB3_FULL").is_ok_and(|value| value == "1")
}

/// Runs the cases, says what came of them, and fails when one did.
fn sweep(what: &str, cases: &[Case], failed_before: usize, begun: Instant) {
    let (found, failed) = each((cases, WORKERS), "LAB3_SWEEP", Case::word, run_with_chances);
    let killed = found.iter().filter(|found| found.killed > 0).count();
    let extra: usize = found.iter().map(|found| found.extra).sum();
    let failed = failed + failed_before;
    assert!(!cases.is_empty(), "{what}: nothing was counted, so nothing was shown");
    eprintln!(
        "{what}: {} cases, {killed} killed, {} calls not made, {extra} conflict copies too many, \
         {failed} failed, {:.0} s",
        cases.len(),
        found.len() - killed,
        begun.elapsed().as_secs_f32(),
    );
    assert_eq!(failed, 0, "{what}: run one case again with LAB3_SWEEP=… as shown above");
}

/// `kill -9` of either server at any of its calls loses nothing, invents nothing, leaves nothing
/// half done, and after a restart all is as the users left it (G5, C01-C20, K21).
#[test]
fn a_kill_at_any_call_leaves_everything_as_the_users_left_it() {
    if !can_trace() {
        return skip("the kill sweep", "strace cannot trace here");
    }
    let begun = Instant::now();
    if let Ok(word) = std::env::var("LAB3_SWEEP") {
        let case = Case::from_word(&word).expect("SCENARIO/SIDE/THREAD:CALL:N");
        let times = std::env::var("LAB3_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        return sweep("kill sweep", &vec![case; times], 0, begun);
    }
    let mut dice = Dice::from_environment();
    let places = places();
    let places = if is_full() { places } else { some(&places, 8, &mut dice) };
    let (cases, failed) = cases(&places);
    let cases = if is_full() { cases } else { some(&cases, SHORT_CASES, &mut dice) };
    sweep("kill sweep", &cases, failed, begun);
}

/// A server that is killed in the middle of a change, and twice more while it recovers, still
/// leaves everything as the users left it (C16).
#[test]
fn a_kill_in_recovery_itself_leaves_everything_as_the_users_left_it() {
    if !can_trace() {
        return skip("the kill sweep of recovery", "strace cannot trace here");
    }
    if std::env::var_os("LAB3_SWEEP").is_some() {
        return;
    }
    let begun = Instant::now();
    let mut dice = Dice::from_environment();
    let wanted = ["replace", "delete", "rename", "kinds", "conflict", "drain"];
    let places: Vec<_> =
        places().into_iter().filter(|(scenario, _)| wanted.contains(&scenario.name)).collect();
    if places.is_empty() && !self::places().is_empty() {
        return skip("the kill sweep of recovery", "this scenario leaves nothing to recover");
    }
    let places = if is_full() { places } else { some(&places, 3, &mut dice) };
    let (mut firsts, failed) = cases(&places);
    firsts.retain(|case| leaves_work(&case.call));
    let firsts = if is_full() { firsts } else { some(&firsts, 4, &mut dice) };
    let (found, failed_too) = each((&firsts, WORKERS), "counting", Case::word, |first| {
        let again = count(first.scenario, first.target, Some(&first.call)).into_iter();
        let again = again.filter(changes_disk);
        again.map(|call| Case { again: Some(call), ..first.clone() }).collect::<Vec<_>>()
    });
    let mut cases: Vec<Case> = found.into_iter().flatten().collect();
    cases.sort_by_key(Case::word);
    for (scenario, _) in places.iter().filter(|_| is_full()) {
        let has_one = cases.iter().any(|case| case.scenario.name == scenario.name);
        assert!(has_one, "nothing to recover was found in `{}`", scenario.name);
    }
    let cases = if is_full() { cases } else { some(&cases, 8, &mut dice) };
    sweep("kill sweep of recovery", &cases, failed + failed_too, begun);
}

/// Whether something is under way at this call that a start has to finish.
fn leaves_work(call: &Call) -> bool {
    let names = ["renameat2", "renameat", "unlinkat", "linkat", "symlinkat"];
    ["commit", "receive", "keeper"].contains(&call.thread.as_str())
        && names.contains(&call.name.as_str())
}

fn changes_disk(call: &Call) -> bool {
    !["write", "sendto", "openat", "fsync"].contains(&call.name.as_str())
}
