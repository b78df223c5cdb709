//! A is stopped at each call of one commit, its user goes on, and A starts again. What took effect
//! is not done once more; what did not is done.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::change::Operation;
use common::path::RelPath;
use common::side::Side::{self, A, B};
use common::wire::client::{DrainMode, Request, Target};
use common::wire::message::Order;

use crate::deep::{Deep, Shared};
use crate::deep_simulation::{check, tree};
use crate::disk::files::Whim;
use crate::disk::{Deed, Features, Files, Place, Verdict};

const WHOLE: Features = Features { exchange: true, noreplace: true, lease: true, recycles: true };

/// What A's user does between the stop and the start.
fn deeds() -> Vec<Option<Deed>> {
    let mine = || b"mine".to_vec();
    vec![
        None,
        Some(Deed::Write("d/f", mine())),
        Some(Deed::Save("d/f", mine())),
        Some(Deed::Again("d/f", mine())),
        Some(Deed::Remove("d/f")),
        Some(Deed::Move("d/f", "d/moved")),
        Some(Deed::Mode("d/f", 0o750)),
    ]
}

/// What both have, and what B's user makes of it.
fn edits() -> Vec<(Option<Deed>, Vec<Deed>)> {
    let (old, new) = (|| b"old".to_vec(), || b"new".to_vec());
    let file = || Some(Deed::Write("d/f", old()));
    let directory = || Some(Deed::Directory("d/f"));
    vec![
        (file(), vec![Deed::Write("d/f", new())]),
        (file(), vec![Deed::Link("d/f", new())]),
        (file(), vec![Deed::Directory("d/f")]),
        (file(), vec![Deed::Mode("d/f", 0o600)]),
        (file(), vec![Deed::Remove("d/f")]),
        (None, vec![Deed::Write("d/f", new())]),
        (None, vec![Deed::Link("d/f", new())]),
        (None, vec![Deed::Directory("d/f")]),
        (directory(), vec![Deed::Remove("d/f"), Deed::Write("d/f", new())]),
        (directory(), vec![Deed::Mode("d/f", 0o700)]),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    features: Features,
    before: Option<Deed>,
    edit: Vec<Deed>,
    /// Whether the edit was held, and is drained.
    held: bool,
}

type Trees = BTreeMap<String, String>;

fn path() -> RelPath {
    RelPath::new("d/f").expect("a path")
}

fn does(world: &mut Deep, side: Side, deed: &Deed) {
    world.sides[side].disk.lock().deed(deed);
    world.notice(side, false);
}

impl Case {
    /// A world in which the order that brings B's edit to A is the next thing that A does.
    fn world(&self) -> Deep {
        let mut world = Deep::new(self.features);
        for deed in [Deed::Directory("d"), Deed::Write("d/g", b"beside".to_vec())].iter() {
            does(&mut world, A, deed);
        }
        self.before.iter().for_each(|deed| does(&mut world, A, deed));
        world.connect();
        world.settle();
        let target = || Target::Path(RelPath::new("d").expect("a path"));
        let holder = || "me".to_owned();
        if self.held {
            world.ask(Request::Lock {
                target: target(),
                holder: holder(),
                comment: None,
                ttl_s: None,
            });
        }
        self.edit.iter().for_each(|deed| does(&mut world, B, deed));
        if self.held {
            world.settle();
            let (force, mode, dry_run) = (false, DrainMode::Apply, false);
            let holder = holder();
            world.request(Request::Unlock { target: target(), holder, force, mode, dry_run });
        }
        assert!(world.go_on_until(is_next), "A is never told to do it: {:?}", self.edit);
        world
    }
}

fn is_next(world: &Deep) -> bool {
    let at = |operation: &Operation| *operation.path() == path();
    matches!(world.orders.a.front(), Some(Order::Commit { operation, .. }) if at(operation))
}

/// What happens at A from the commit to the next start.
#[derive(Clone, Debug)]
struct Course {
    /// At which call of the commit its user does something.
    meanwhile: Option<(u64, Deed)>,
    /// At which call it is stopped.
    stop: u64,
    /// At which call of its recovery it is stopped once more.
    recovery: Option<u64>,
    /// What its user does then.
    deed: Option<Deed>,
}

/// Stops a process at its n-th call.
pub(crate) fn stop_at(n: u64) -> Whim {
    Box::new(move |files, _| if files.calls == n { Verdict::Stop } else { Verdict::Go })
}

/// The next start is stopped at a call of its recovery; answers whether there was one.
fn recovery_stops(world: &mut Deep, at: u64) -> bool {
    world.note_progress();
    let disk = world.sides.a.disk.clone();
    disk.lock().stop();
    let place = Place::open(&disk, A, Arc::new(Shared(world.counters.a.clone())));
    let publisher = &place.committer.publisher;
    world.durable.underway.decide(|what, witness| publisher.took_effect(what, witness));
    world.set_whim(A, stop_at(at));
    let lives = catch_unwind(AssertUnwindSafe(|| drop(place.recover()))).is_ok();
    disk.lock().whim = None;
    !lives
}

/// A started again, and all came to rest.
fn rested(world: &mut Deep) -> Trees {
    world.restart(A, None);
    world.connect();
    world.settle();
    check(world).unwrap_or_else(|what| panic!("{what}"));
    let trees = [A, B].map(|side| tree(world, side));
    assert_eq!(trees[0], trees[1], "both sides");
    assert!(world.is_at_rest() && world.coordinator.locks().is_empty(), "at rest");
    trees[0].clone()
}

/// Goes through a course; answers whether there were such calls.
fn ran(case: &Case, course: &Course) -> bool {
    let mut world = case.world();
    let wants = world.sides.b.disk.lock().contents("").contains(b"new".as_slice());
    let (mut stop, meanwhile) = (stop_at(course.stop), course.meanwhile.clone());
    let whim = move |files: &mut Files, call: &'static str| {
        if let Some((_, deed)) = meanwhile.iter().find(|(at, _)| *at == files.calls) {
            files.deed(deed);
        }
        stop(files, call)
    };
    world.set_whim(A, Box::new(whim));
    if world.mortal(|world| assert!(world.run_order(A))) {
        return false;
    }
    if course.recovery.is_some_and(|at| !recovery_stops(&mut world, at)) {
        return false;
    }
    let at_path = |side| tree(&world, side).get("d/f").cloned();
    let took_effect = at_path(A) == at_path(B);
    // Where a rename may replace, a version has both names for a moment, and later on one.
    let staged = world.sides.a.disk.lock().walk(".lab3/stage");
    let is_doubtful = |uid: &u64| world.sides.a.disk.lock().get(*uid).links > 1;
    let doubtful = !case.features.noreplace && staged.values().any(is_doubtful);
    course.deed.iter().for_each(|deed| does(&mut world, A, deed));
    let left = tree(&world, A);
    let end = rested(&mut world);
    if took_effect && !doubtful && course.meanwhile.is_none() {
        assert_eq!(end, left, "it took effect, and is as A's user left it");
    }
    let files = world.sides.a.disk.lock();
    if wants && !files.account.superseded.contains(b"new".as_slice()) {
        assert!(files.contents("").contains(b"new".as_slice()), "it is applied: {end:?}");
    }
    true
}

/// Runs courses, and keeps in mind which fail.
#[derive(Default)]
struct Courses {
    runs: u64,
    failing: Vec<String>,
}

impl Courses {
    fn run(&mut self, case: &Case, course: Course) -> bool {
        let ran = catch_unwind(AssertUnwindSafe(|| ran(case, &course)));
        self.runs += 1;
        ran.unwrap_or_else(|cause| {
            let why = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            self.failing.push(format!("{case:?}\n  {course:?}\n  {why}"));
            true
        })
    }

    fn every_stop(&mut self, case: &Case, meanwhile: Option<(u64, Deed)>, full: bool) {
        for (number, deed) in deeds().into_iter().enumerate() {
            let mut course = Course { meanwhile: meanwhile.clone(), stop: 1, recovery: None, deed };
            while self.run(case, course.clone()) {
                let twice = full || (course.stop as usize + number).is_multiple_of(8);
                course.recovery = twice.then_some(1);
                while course.recovery.is_some() && self.run(case, course.clone()) {
                    course.recovery = course.recovery.map(|at| at + 1);
                }
                course.recovery = None;
                course.stop += 1;
            }
        }
    }

    fn end(self, what: &str) {
        eprintln!("stops of one commit, {what}: {} runs", self.runs);
        let (count, some) = (self.failing.len(), self.failing.iter().take(20));
        let some: Vec<String> = some.cloned().collect();
        assert!(count == 0, "{count} of {} fail:\n{}", self.runs, some.join("\n"));
    }
}

fn is_full() -> bool {
    std::env::var("LAB3_FULL").is_ok_and(|full| full == "1")
}

fn all_stops(features: Features, what: &str) {
    let mut courses = Courses::default();
    for (before, edit) in edits() {
        for held in [false, true] {
            let case = Case { features, before: before.clone(), edit: edit.clone(), held };
            courses.every_stop(&case, None, is_full());
        }
    }
    courses.end(what);
}

#[test]
fn what_took_effect_before_a_kill_is_not_done_again_whatever_its_user_does_meanwhile() {
    all_stops(WHOLE, "whole");
}

#[test]
fn nor_without_exchange() {
    all_stops(Features { exchange: false, recycles: false, ..WHOLE }, "no exchange");
}

#[test]
fn nor_without_anything() {
    let bare = Features { exchange: false, noreplace: false, lease: false, recycles: true };
    all_stops(bare, "bare");
}

#[test]
fn what_a_user_was_faster_than_is_applied_after_a_kill() {
    let mut courses = Courses::default();
    let mine = || b"faster".to_vec();
    for (before, edit) in edits() {
        for held in [false, true] {
            let case = Case { features: WHOLE, before: before.clone(), edit: edit.clone(), held };
            for deed in [Deed::Write("d/f", mine()), Deed::Save("d/f", mine())] {
                for at in (1..60).step_by(if is_full() { 1 } else { 6 }) {
                    for stop in at..80 {
                        let meanwhile = Some((at, deed.clone()));
                        let course = Course { meanwhile, stop, recovery: None, deed: None };
                        if !courses.run(&case, course) {
                            break;
                        }
                    }
                }
            }
        }
    }
    courses.end("with a faster user");
}
