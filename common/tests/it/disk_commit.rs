//! Every operation, with everything that can happen at every single call of it.
//!
//! `LAB3_FULL=1` goes through all of it; the short form goes through all calls, too, but through
//! fewer combinations of two things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::change::{Change, Operation, Outcome};
use common::side::Side;
use common::wire::message::Content;
use rustix::io::Errno;

use crate::disk::files::{Files, Whim};
use crate::disk::side::disk;
use crate::disk::{Deed, Place, Verdict};
use crate::disk_cases::{Case, Nowhere, Run, WHOLE, What, cases, path};

pub(crate) type Tree = BTreeMap<String, String>;

const ERRORS: [Errno; 12] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::MFILE,
    Errno::ACCESS,
    Errno::PERM,
    Errno::ROFS,
    Errno::INTR,
    Errno::AGAIN,
    Errno::TXTBSY,
    Errno::DQUOT,
    Errno::NOMEM,
    Errno::XDEV,
];

fn full() -> bool {
    std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1")
}

/// What is found out about all cases.
#[derive(Default)]
pub(crate) struct Tally {
    runs: u64,
    failures: BTreeMap<String, (u64, String)>,
}

impl Tally {
    pub(crate) fn note(&mut self, run: &Run, how: &dyn Fn() -> String, result: Result<(), String>) {
        self.runs += 1;
        if let Err(what) = result {
            let sort = format!("{:?} {}", run.case, what.split([':', '{']).next().unwrap_or(""));
            self.failures.entry(sort).or_insert_with(|| (0, format!("{}: {what}", how()))).0 += 1;
        }
    }

    pub(crate) fn end(self, machine: &str) {
        eprintln!("{machine}: {} runs, {} sorts of failures", self.runs, self.failures.len());
        let lines = self.failures.iter();
        let lines = lines.map(|(sort, (count, first))| format!("{sort} ({count})\n  {first}"));
        assert!(self.failures.is_empty(), "{}", lines.collect::<Vec<_>>().join("\n"));
    }
}

/// One thing at one call.
pub(crate) fn at(n: u64, mut act: impl FnMut(&mut Files) -> Verdict + Send + 'static) -> Whim {
    Box::new(move |files, _| if files.calls == n { act(files) } else { Verdict::Go })
}

/// How many calls an operation makes when nothing happens, and the tree it leaves.
pub(crate) fn undisturbed(case: Case) -> (u64, Tree) {
    let run = Run::new(case);
    let place = run.place();
    let outcome = run.commit(&place);
    assert!(matches!(outcome, Outcome::Done { .. }), "{case:?}: {outcome:?}");
    let calls = run.disk.lock().calls;
    run.check().expect("nothing is lost");
    (calls, run.tree())
}

/// The operation is sent again and comes to the same end.
fn again(run: &Run, end: &Tree) -> Result<(), String> {
    let place = run.place();
    let outcome = run.commit(&place);
    let tree = run.tree_without_copies();
    if tree != *end {
        return Err(format!("sent again, {outcome:?} leaves {tree:?} instead of {end:?}"));
    }
    run.check()
}

#[test]
fn a_stop_at_any_call_loses_nothing_and_the_operation_comes_to_its_end() {
    let mut tally = Tally::default();
    for case in cases() {
        let (calls, end) = undisturbed(case);
        for n in 1..=calls + 1 {
            let mut m = 0;
            loop {
                let run = Run::new(case);
                stop_at(&run, n);
                // Recovery itself is stopped at each of its calls, and then once more.
                m += 1;
                let stopped = m > 1 && stop_recovery(&run, m - 1);
                let deeper = if full() && stopped { 12 } else { 0 };
                for k in 1..=deeper {
                    let run = Run::new(case);
                    stop_at(&run, n);
                    stop_recovery(&run, m - 1);
                    stop_recovery(&run, k);
                    let result = run.recover().and_then(|()| run.check());
                    let result = result.and_then(|()| again(&run, &end));
                    tally.note(&run, &|| format!("stop at {n}, {}, {k}", m - 1), result);
                }
                let result = run.recover().and_then(|()| run.check());
                let result = result.and_then(|()| again(&run, &end));
                tally.note(&run, &|| format!("stop at {n}, then {}", m - 1), result);
                if m > 1 && !stopped {
                    break;
                }
            }
        }
    }
    tally.end("stops");
}

fn stop_at(run: &Run, n: u64) {
    let place = run.place();
    run.whim(Some(at(n, |_| Verdict::Stop)));
    let _ = run.killable(|| run.commit(&place));
    run.disk.lock().stop();
}

fn stop_recovery(run: &Run, m: u64) -> bool {
    let place = Place::open(&run.disk, Side::A, Arc::new(Nowhere));
    run.whim(Some(at(m, |_| Verdict::Stop)));
    let stopped = run.killable(|| place.recover()).is_none();
    run.disk.lock().stop();
    stopped
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_and_tears_nothing() {
    let mut tally = Tally::default();
    let seeds = if full() { 200 } else { 6 };
    for case in cases() {
        let (calls, end) = undisturbed(case);
        for n in 1..=calls + 1 {
            for seed in 0..seeds {
                let run = Run::new(case);
                let place = run.place();
                run.whim(Some(at(n, |_| Verdict::Stop)));
                let done = run.killable(|| run.commit(&place));
                cut(&run, seed);
                let mut result = run.check_flushed(done.as_ref(), &end);
                if seed > 1 {
                    // And another one while recovering.
                    let m = 1 + seed % 17;
                    stop_recovery(&run, m);
                    cut(&run, seed + 1);
                }
                result = result.and_then(|()| run.recover()).and_then(|()| run.check());
                result = result.and_then(|()| again(&run, &end));
                tally.note(&run, &|| format!("cut at {n}, seed {seed}"), result);
            }
        }
    }
    tally.end("power cuts");
}

/// Seed 0 keeps as little as it may, seed 1 everything.
fn cut(run: &Run, seed: u64) {
    let mut state = seed;
    run.disk.lock().cut(|n| match seed {
        0 => 0,
        1 => n - 1,
        _ => {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 33) as usize % n
        }
    });
}

impl Run {
    /// What was said to be done is there after the cut.
    fn check_flushed(&self, done: Option<&Outcome>, end: &Tree) -> Result<(), String> {
        let Some(Outcome::Done { .. }) = done else { return Ok(()) };
        let tree = self.tree();
        if tree == *end { Ok(()) } else { Err(format!("done, but after the cut {tree:?}")) }
    }
}

#[test]
fn an_error_at_any_call_loses_nothing_and_is_no_success() {
    let mut tally = Tally::default();
    for case in cases() {
        let (calls, end) = undisturbed(case);
        for n in 1..=calls {
            for error in ERRORS {
                for lasting in [false, true] {
                    let run = Run::new(case);
                    let result = with_error(&run, n, error, lasting, &end);
                    let how = || format!("{error:?} at {n}, lasting: {lasting}");
                    tally.note(&run, &how, result);
                }
            }
        }
    }
    tally.end("errors");
}

#[test]
fn a_file_that_cannot_be_opened_for_a_moment_is_no_edit() {
    let mut tally = Tally::default();
    for case in cases() {
        let (calls, end) = undisturbed(case);
        for n in 1..=calls {
            for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR] {
                let run = Run::new(case);
                run.whim(Some(Box::new(move |files, call| {
                    let here = files.calls == n && call == "open_at";
                    if here { Verdict::Fail(error) } else { Verdict::Go }
                })));
                let place = run.place();
                run.commit(&place);
                run.whim(None);
                drop(place);
                let result = run.recover().and_then(|()| again(&run, &end));
                let copy = run.tree().into_keys().find(|path| path.contains(".conflict-"));
                let result = result.and_then(|()| copy.map_or(Ok(()), Err));
                tally.note(&run, &|| format!("{error:?} at {n}"), result);
            }
        }
    }
    tally.end("errors that pass");
}

fn with_error(run: &Run, n: u64, error: Errno, lasting: bool, end: &Tree) -> Result<(), String> {
    let place = run.place();
    run.whim(Some(Box::new(move |files, call| {
        let here = files.calls == n || lasting && files.calls > n;
        // The kernel's calls are made again after these.
        let again = matches!(error, Errno::INTR | Errno::AGAIN)
            && (lasting || matches!(call, "sync" | "set_len" | "open_beneath"));
        if here && !again { Verdict::Fail(error) } else { Verdict::Go }
    })));
    let outcome = run.commit(&place);
    run.whim(None);
    if matches!(outcome, Outcome::Done { .. }) {
        let tree = run.tree_without_copies();
        if tree != *end {
            return Err(format!("said to be done, and is {tree:?}"));
        }
    }
    if !lasting {
        // In the same process, with what it knows.
        let second = run.commit(&place);
        if run.tree_without_copies() != *end {
            return Err(format!("{outcome:?}, then {second:?} leaves {:?}", run.tree()));
        }
    }
    drop(place);
    run.recover()?;
    run.check()?;
    all_trash_has_its_name(run)?;
    again(run, end)
}

/// What is in the trash can be asked for by the name that it had.
fn all_trash_has_its_name(run: &Run) -> Result<(), String> {
    let publisher = run.place().committer.publisher;
    publisher.unfold(usize::MAX);
    let listed = publisher.trash.list();
    let listed = listed.map_err(|error| format!("the trash cannot be listed: {error}"))?;
    match listed.iter().find(|version| version.path.as_bytes().starts_with(b"found-in-trash-")) {
        Some(nameless) => Err(format!("nobody knows what is in the trash as {}", nameless.id)),
        None => run.check(),
    }
}

#[test]
fn a_version_that_was_replaced_stays_away_when_its_successor_is_deleted() {
    let mut tally = Tally::default();
    for case in cases().into_iter().filter(|case| case.before == case.after && !case.shut) {
        let (calls, _) = undisturbed(case);
        for n in 1..=calls {
            let run = Run::new(case);
            let result = deleted_after_error(&run, n);
            tally.note(&run, &|| format!("an error at {n}"), result);
        }
    }
    tally.end("replaced versions");
}

fn deleted_after_error(run: &Run, n: u64) -> Result<(), String> {
    let place = run.place();
    run.whim(Some(at(n, |_| Verdict::Fail(Errno::IO))));
    let outcome = run.commit(&place);
    run.whim(None);
    run.disk.lock().deed(&Deed::Remove("d/f"));
    drop(place);
    run.recover()?;
    let done = matches!(outcome, Outcome::Done { .. });
    if done && run.tree_without_copies().contains_key("d/f") {
        return Err(format!("it is back: {:?}", run.tree()));
    }
    run.check()
}

fn deeds(case: Case) -> Vec<Vec<Deed>> {
    let edit = |text: &str| text.as_bytes().to_vec();
    let mut deeds = vec![
        vec![Deed::Write("d/f", edit("rewritten"))],
        vec![Deed::Save("d/f", edit("saved over"))],
        vec![Deed::Remove("d/f")],
        vec![Deed::Again("d/f", edit("made again"))],
        vec![Deed::Directory("d/f")],
        vec![Deed::Filled("d/f", edit("inside"))],
        vec![Deed::Link("d/f", edit("elsewhere"))],
        vec![Deed::Move("d", "moved")],
        vec![Deed::Move("d/f", "d/away")],
        vec![Deed::Move("d/f", "e/f")],
        vec![Deed::Write("e/f", edit("in the way"))],
        vec![Deed::Filled("e", edit("inside"))],
        vec![Deed::Mode("d/f", 0o444)],
        vec![Deed::Move("d", "e/d"), Deed::Filled("d", edit("another"))],
    ];
    if case.after == What::Cleared {
        deeds.extend([
            vec![Deed::Write("d/f/sub/new", edit("put deep inside"))],
            vec![Deed::Save("d/f/sub/in", edit("saved over"))],
            vec![Deed::Remove("d/f/sub/in")],
            vec![Deed::Move("d/f/sub/in", "d/away")],
            vec![Deed::Link("d/f/sub/link", edit("elsewhere"))],
            vec![Deed::Filled("d/f/empty", edit("inside"))],
        ]);
    }
    if case.before == What::Dir {
        deeds.push(vec![Deed::Write("d/f/in", edit("put inside"))]);
    }
    deeds
}

#[test]
fn whatever_a_user_does_at_any_call_is_not_lost() {
    let mut tally = Tally::default();
    for case in cases() {
        let (calls, _) = undisturbed(case);
        for n in 1..=calls + 3 {
            for deeds in deeds(case) {
                let run = Run::new(case);
                let place = run.place();
                let (whim, all) = (deeds.clone(), deeds);
                run.whim(Some(at(n, move |files| {
                    whim.iter().for_each(|deed| files.deed(deed));
                    Verdict::Go
                })));
                let outcome = run.commit(&place);
                run.whim(None);
                let result = ends_well(&run, place);
                tally.note(&run, &|| format!("{all:?} at {n}, {outcome:?}"), result);
            }
        }
    }
    tally.end("deeds");
}

#[test]
fn what_is_written_through_an_old_descriptor_at_any_call_is_not_lost() {
    let mut tally = Tally::default();
    let has_file = |case: &Case| case.before == What::File || case.after == What::Cleared;
    for case in cases().into_iter().filter(has_file) {
        let file = if case.before == What::File { "d/f" } else { "d/f/sub/in" };
        let (calls, _) = undisturbed(case);
        for opened in 0..=calls {
            for written in opened + 1..=calls + 3 {
                let run = Run::new(case);
                let place = run.place();
                if opened == 0 {
                    run.disk.lock().deed(&Deed::Open(file));
                }
                run.whim(Some(Box::new(move |files, _| {
                    if files.calls == opened {
                        files.deed(&Deed::Open(file));
                    }
                    if files.calls == written {
                        files.deed(&Deed::Finish(b"late".to_vec()));
                    }
                    Verdict::Go
                })));
                let outcome = run.commit(&place);
                run.whim(None);
                run.disk.lock().deed(&Deed::Finish(b"very late".to_vec()));
                let result = ends_well(&run, place);
                let how = || format!("open at {opened}, written at {written}, {outcome:?}");
                tally.note(&run, &how, result);
            }
        }
    }
    tally.end("late writes");
}

/// Nothing is lost now, nor when the operation is sent again, nor after a new start.
pub(crate) fn ends_well(run: &Run, mut place: Place) -> Result<(), String> {
    run.check_all()?;
    place.look_around();
    run.commit(&place);
    drop(place);
    run.recover()?;
    run.check()?;
    let place = run.place();
    run.commit(&place);
    let first = run.tree();
    run.commit(&place);
    if run.tree() != first {
        return Err(format!("it never ends: {first:?}, then {:?}", run.tree()));
    }
    run.check()
}

impl Run {
    /// As [`Run::check`]; what is in `stage/` and written down there is kept, too.
    fn check_all(&self) -> Result<(), String> {
        let staged = self.disk.lock().contents(".lab3/stage");
        let mut held = Vec::new();
        {
            let mut files = self.disk.lock();
            for content in staged {
                if files.account.live.remove(&content) {
                    held.push(content);
                }
            }
        }
        let result = self.check();
        self.disk.lock().account.live.extend(held);
        result
    }
}

#[test]
fn what_was_in_a_directory_that_a_commit_found_gone_is_gone() {
    let disk = disk(WHOLE);
    disk.lock().deed(&Deed::Filled("d", b"1".to_vec()));
    let mut place = Place::open(&disk, Side::A, Arc::new(Nowhere));
    place.look_around();
    assert!(place.entry(&path("d/in")).is_some());
    disk.lock().deed(&Deed::Remove("d"));
    let change =
        Change { path: path("d"), before: place.entry(&path("d")), after: None, copy: None };
    let outcome = place.commit(&Operation::Change(change), &Content::None);
    assert_eq!(outcome, Outcome::Done { now: None, aside: None });
    place.look_around();
    assert_eq!(place.entry(&path("d/in")), None);
}

#[test]
fn a_reader_finds_the_old_version_or_the_new_one_at_every_call() {
    let mut tally = Tally::default();
    let replaces = |case: &Case| {
        let kinds = [What::File, What::Link, What::Dir];
        kinds.contains(&case.before) && kinds.contains(&case.after) && case.features.exchange
    };
    for case in cases().into_iter().filter(replaces) {
        let run = Run::new(case);
        let place = run.place();
        let found = Arc::new(Mutex::new(Ok(())));
        let seen = found.clone();
        run.whim(Some(Box::new(move |files, _| {
            if let Err(what) = Run::readable(files) {
                *seen.lock().expect("no panic") = Err(format!("at {}: {what}", files.calls));
            }
            Verdict::Go
        })));
        run.commit(&place);
        run.whim(None);
        let result = found.lock().expect("no panic").clone();
        tally.note(&run, &|| "reading".into(), result);
    }
    tally.end("readers");
}

/// It is brought back at once, and not when the trash is unfolded.
#[test]
fn an_edit_in_a_directory_that_goes_is_not_in_the_trash_when_that_is_done() {
    let mut tally = Tally::default();
    for case in cases().into_iter().filter(|case| case.after == What::Cleared) {
        let (calls, _) = undisturbed(case);
        for n in 1..=calls {
            let run = Run::new(case);
            let place = run.place();
            let edit = Deed::Save("d/f/sub/in", b"saved over".to_vec());
            run.whim(Some(at(n, move |files| (files.deed(&edit), Verdict::Go).1)));
            let outcome = run.commit(&place);
            let trashed = run.disk.lock().contents(".lab3/trash");
            let is_kept = !trashed.contains(b"saved over".as_slice());
            let result = is_kept.then_some(()).ok_or("it is in the trash".to_owned());
            tally.note(&run, &|| format!("an edit at {n}, {outcome:?}"), result);
        }
    }
    tally.end("edits in what goes");
}
