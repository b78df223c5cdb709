//! The work grows with what changed, not with its square.

use std::collections::VecDeque;

use common::change::{Operation, Outcome};
use common::entry::Entry;
use common::path::RelPath;
use common::reconcile::safety::Limits;
use common::side::Side;
use common::time::{Moment, Timestamp};
use common::tree::Tree;
use common::wire::message::{Observation, Order, Peer, ReplicaId, Report, Row};
use server_a::broken::Broken;
use server_a::coordinator::action::{Action, Batch};
use server_a::coordinator::event::{Event, Now};
use server_a::coordinator::{Coordinator, Remembered};
use server_a::locks::LockTable;
use server_a::pending::queue::{HeldLimits, PendingQueue};
use server_a::underway::Underway;

use crate::model::{file, path};

/// A coordinator whose sides do at once whatever they are told.
struct Obedient {
    coordinator: Coordinator,
    todo: VecDeque<(Side, Order)>,
    commits: u64,
    actions: u64,
    /// What is to be saved, if the saver has yet to say of anything that it is.
    unanswered: Option<Vec<Batch>>,
}

impl Obedient {
    fn new(archive: Tree, a: &[(RelPath, Entry)], b: &[(RelPath, Entry)]) -> Obedient {
        let coordinator = Coordinator::new(Remembered {
            archive,
            peer: Some(Peer { id: ReplicaId(1), met: 0 }),
            locks: LockTable::default(),
            broken: Broken::default(),
            underway: Underway::default(),
            queue: PendingQueue::rebuild([], 1, HeldLimits::default()),
            epoch: 1,
            limits: Limits { files_min: u64::MAX, ..Limits::default() },
        });
        let todo = VecDeque::new();
        let mut world = Obedient { coordinator, todo, commits: 0, actions: 0, unanswered: None };
        world.tell(Event::PeerUp(ReplicaId(1), None, None));
        for (side, rows) in [(Side::A, a), (Side::B, b)] {
            for part in rows.chunks(1000) {
                let report =
                    Report::Inventory { rows: part.to_vec(), problems: Vec::new(), last: false };
                world.tell(Event::Reported(side, report));
            }
            let report = Report::Inventory { rows: Vec::new(), problems: Vec::new(), last: true };
            world.tell(Event::Reported(side, report));
        }
        world
    }

    fn tell(&mut self, event: Event) {
        let now = Now { moment: Moment(1), wall: Timestamp::default() };
        let mut out = Vec::new();
        self.coordinator.handle(now, event, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        self.actions += actions.len() as u64;
        for action in actions {
            match (action, &mut self.unanswered) {
                (Action::Order(side, order), _) => self.todo.push_back((side, order)),
                (Action::Save(_, batch), Some(batches)) => batches.push(batch),
                (Action::Save(id, _), None) => self.tell(Event::Saved(id, Ok(()))),
                _ => {}
            }
        }
    }

    fn observe(&mut self, side: Side, rows: Vec<(RelPath, Option<Entry>)>) {
        let parts = rows.len().div_ceil(1000);
        for (at, part) in rows.chunks(1000).enumerate() {
            let row = |(path, entry): &(RelPath, Option<Entry>)| Row {
                path: path.clone(),
                entry: entry.clone(),
                content: None,
                seen: None,
            };
            let rows = part.iter().map(row).collect();
            let more = at + 1 < parts;
            let observation = Observation { rows, more, ..Observation::default() };
            self.tell(Event::Reported(side, Report::Observed(observation)));
        }
    }

    fn run(&mut self) {
        while let Some((side, order)) = self.todo.pop_front() {
            let Order::Commit { id, operation, .. } = order else { continue };
            self.commits += 1;
            let now = match operation {
                Operation::Change(change) => change.after,
                Operation::Rename { before, .. } => Some(before),
                Operation::Clear { .. } => None,
            };
            let outcome = Outcome::Done { now, aside: None };
            self.tell(Event::Reported(side, Report::Outcome { id, outcome, spent: None }));
        }
        assert!(self.coordinator.is_idle());
    }
}

fn rows(names: impl Iterator<Item = String>) -> Vec<(RelPath, Entry)> {
    names.map(|name| (path(&name), file(&name, 0o644, 1))).collect()
}

#[test]
fn a_first_contact_decides_what_differs_and_nothing_twice_over() {
    let equal = rows((0..100_000).map(|n| format!("equal-{n:06}")));
    let mut a = equal.clone();
    a.extend(rows((0..20_000).map(|n| format!("only-a-{n:06}"))));
    let archive: Tree = equal.iter().cloned().collect();
    let mut world = Obedient::new(archive, &a, &equal);
    world.run();
    assert_eq!(world.commits, 20_000);
    let decisions = world.coordinator.decisions();
    assert!(decisions <= 3 * 20_000, "{decisions}");
    // What is written down of an order counts as well.
    assert!(world.actions <= 8 * 20_000, "{}", world.actions);
}

#[test]
fn what_comes_while_saves_are_under_way_is_saved_together_and_at_the_end() {
    let a = rows((0..1000).map(|n| format!("only-a-{n:06}")));
    let mut world = Obedient::new(Tree::default(), &a, &[]);
    world.unanswered = Some(Vec::new());
    world.run();
    let rows = |world: &Obedient| {
        let batches = world.unanswered.iter().flatten();
        batches.map(|batch| batch.archive.len()).collect::<Vec<_>>()
    };
    assert_eq!(world.commits, 1000);
    assert!(rows(&world).len() <= 2, "{:?}", rows(&world));
    let mut out = Vec::new();
    world.coordinator.end(&mut out);
    world.carry_out(out);
    assert!(rows(&world).len() <= 3, "{:?}", rows(&world));
    assert_eq!(rows(&world).iter().sum::<usize>(), 1000);
}

fn directory(children: usize) -> Vec<(RelPath, Entry)> {
    let mut all = vec![(path("d"), Entry::Dir { mode: 0o755 })];
    all.extend(rows((0..children).map(|n| format!("d/{n:06}"))));
    all
}

#[test]
fn the_removal_of_a_large_directory_is_linear() {
    let all = directory(20_000);
    let mut world = Obedient::new(all.iter().cloned().collect(), &all, &all);
    world.run();
    let before = world.coordinator.decisions();
    world.observe(Side::A, all.iter().map(|(path, _)| (path.clone(), None)).collect());
    world.run();
    assert_eq!(world.commits, 20_001);
    let decisions = world.coordinator.decisions() - before;
    assert!(decisions <= 4 * 20_000, "{decisions}");
}

#[test]
fn the_coming_of_a_large_directory_is_linear() {
    let all = directory(20_000);
    let mut world = Obedient::new(Tree::default(), &[], &[]);
    world.observe(Side::B, all.iter().map(|(p, e)| (p.clone(), Some(e.clone()))).collect());
    world.run();
    assert_eq!(world.commits, 20_001);
    let decisions = world.coordinator.decisions();
    assert!(decisions <= 4 * 20_000, "{decisions}");
}

#[test]
fn the_renames_of_many_files_are_linear() {
    let before = rows((0..20_000).map(|n| format!("old-{n:06}")));
    let mut world = Obedient::new(before.iter().cloned().collect(), &before, &before);
    world.run();
    let moved: Vec<(RelPath, RelPath)> =
        (0..20_000).map(|n| (path(&format!("old-{n:06}")), path(&format!("new-{n:06}")))).collect();
    let hints = Observation { moved: moved.clone(), more: true, ..Observation::default() };
    world.tell(Event::Reported(Side::A, Report::Observed(hints)));
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for ((from, to), (_, entry)) in moved.into_iter().zip(&before) {
        gone.push((from, None));
        come.push((to, Some(entry.clone())));
    }
    gone.extend(come);
    world.observe(Side::A, gone);
    world.run();
    assert_eq!(world.commits, 20_000, "one rename each, and no content");
    let decisions = world.coordinator.decisions();
    assert!(decisions <= 8 * 20_000, "{decisions}");
}

#[test]
fn operations_under_way_are_bounded() {
    let a = rows((0..5_000).map(|n| format!("f{n:06}")));
    let world = Obedient::new(Tree::default(), &a, &[]);
    let under_way = world.todo.iter().filter(|(_, o)| matches!(o, Order::Commit { .. })).count();
    assert!(under_way <= common::limits::CHANGES_IN_FLIGHT_MAX, "{under_way}");
}
