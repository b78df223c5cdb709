//! The simulation with clients who bring versions back from trash and settle conflicts meanwhile.
//!
//! What they put into trash is not lost: apart from that, the laws are those of the simulation.
//! `LAB3_KEPT_SEED=N` replays one seed, with `LAB3_SIM_TRACE=FILE` in words; `LAB3_FULL=1` tries
//! many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::path::RelPath;
use common::reconcile::conflict::is_copy_name;
use common::side::Side;
use common::wire::client::kept::{Fate, Resolve, Restore, Take, Which};
use common::wire::client::{Answer, Request};
use common::wire::trashed::{TrashId, TrashName};

use crate::simulation::{check_queue, number, rest, step};
use crate::users::{Account, Rng, edit};
use crate::world::World;

const SEEDS: u64 = 3000;
const SEEDS_FULL: u64 = 30_000;

/// What clients achieved.
#[derive(Default)]
struct Achieved {
    restored: usize,
    resolved: usize,
    refused: usize,
}

#[test]
fn what_clients_bring_back_and_settle_costs_no_version() {
    let mut achieved = Achieved::default();
    if let Some(seed) = number("LAB3_KEPT_SEED") {
        return traced(seed, &mut achieved);
    }
    let full = std::env::var_os("LAB3_FULL").is_some();
    let seeds = if full { SEEDS_FULL } else { SEEDS };
    for seed in 0..seeds {
        let run =
            catch_unwind(AssertUnwindSafe(|| simulate(&mut World::new(), seed, &mut achieved)));
        assert!(
            run.is_ok(),
            "seed {seed}; replay: LAB3_KEPT_SEED={seed} cargo test -p server-a --test it \
             kept_simulation::"
        );
    }
    let Achieved { restored, resolved, refused } = achieved;
    eprintln!("{seeds} seeds: {restored} restored, {resolved} resolved, {refused} refused");
    assert!(restored > 0 && resolved > 0 && refused > 0);
}

fn traced(seed: u64, achieved: &mut Achieved) {
    let mut world = World::new();
    world.trace = Some(Vec::new());
    let run = catch_unwind(AssertUnwindSafe(|| simulate(&mut world, seed, achieved)));
    if let (Some(file), Some(lines)) = (std::env::var_os("LAB3_SIM_TRACE"), &world.trace) {
        std::fs::write(file, lines.join("\n")).expect("the trace can be written");
    }
    assert!(run.is_ok(), "seed {seed}");
}

fn simulate(world: &mut World, seed: u64, achieved: &mut Achieved) {
    world.trash_counts = true;
    let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut account = Account::default();
    let mut faults = Rng(rng.next());
    let (faulty, locking, flapping) = (rng.below(2) == 0, rng.below(3) == 0, rng.below(2) == 0);
    if faulty {
        world.chance = Box::new(move || faults.next() % 100);
    }
    for side in Side::BOTH {
        for _ in 0..rng.below(12) {
            edit(world, side, &mut rng, &mut account);
        }
    }
    world.connect();
    for _ in 0..20 + rng.below(200) {
        match rng.below(12) {
            0 => resolve(world, &mut rng),
            1 => restore(world, &mut rng),
            _ => step(world, &mut rng, &mut account, locking, flapping),
        }
        account.check(world);
        check_queue(world);
    }
    world.chance = Box::new(|| 99);
    rest(world, &mut rng, &account);
    for (_, answer) in &world.answers {
        match answer {
            Answer::Restored(_) => achieved.restored += 1,
            Answer::Resolved(part) if !part.dry_run => {
                let done = part.rows.iter().filter(|row| !matches!(row.fate, Fate::Left(_)));
                achieved.resolved += done.count();
            }
            Answer::Refused(_) => achieved.refused += 1,
            _ => {}
        }
    }
}

fn resolve(world: &mut World, rng: &mut Rng) {
    let take = [Take::A, Take::B, Take::Newest, Take::Both][rng.below(4)];
    let replica = &world.sides[if rng.below(2) == 0 { Side::A } else { Side::B }];
    let copies: Vec<RelPath> =
        replica.tree.keys().filter(|path| is_copy_name(path.name())).cloned().collect();
    let which = match rng.pick(&copies) {
        Some(path) if rng.below(2) == 0 => Which::Path(path.clone()),
        _ => Which::All,
    };
    world.request(Request::Resolve(Resolve { which, take, dry_run: rng.below(8) == 0 }));
}

fn restore(world: &mut World, rng: &mut Rng) {
    let side = if rng.below(2) == 0 { Side::A } else { Side::B };
    let place = rng.below(world.sides[side].trashed.len() + 1);
    let name = TrashName::new(&place.to_string()).expect("a number");
    let paths: Vec<RelPath> = world.sides.a.tree.keys().cloned().collect();
    let to = rng.pick(&paths).filter(|_| rng.below(3) == 0).cloned();
    let over = rng.below(2) == 0;
    world.request(Request::Restore(Restore { id: TrashId { side, name }, to, over }));
}
