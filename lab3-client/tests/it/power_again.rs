//! The power goes once more while a server recovers from a cut; and it goes where nobody flushes
//! anything.

use std::fs;
use std::path::PathBuf;

use common::side::Side;

use crate::power::{Cut, World, below};
use crate::power_acts::{ACTS, Act, flush};
use crate::power_disk::Last;
use crate::power_stop::{CALLS, Stop, is_stopped};
use crate::server::{Server, until};
use crate::system::skip;
use crate::trees::{self, Node, Nodes};

/// What a careful user of the other side does; answers his directory, and where the servers were
/// left: stopped at this call of the committing thread, or at the end.
fn act(
    world: &mut World,
    act: &Act,
    user: Side,
    side: Side,
    call: u32,
) -> (String, PathBuf, Nodes) {
    let name = world.fresh();
    let place = world.system.root(user).join(&name);
    fs::create_dir(&place).expect("a directory");
    (act.before)(&place);
    flush(&place);
    world.system.agree();
    let before = below(&place, "");
    let stop = Stop::at(world.system.server(side), "commit", call);
    (act.act)(&place);
    flush(&place);
    world.stopped(&stop);
    (name, place, before)
}

fn is_dir(nodes: &Nodes, path: &[u8]) -> bool {
    matches!(nodes.get(path), Some(Node::Dir { .. }))
}

/// Whether two things hold the same, whatever their names and times.
fn same_content(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::File { content: a, .. }, Node::File { content: b, .. }) => a == b,
        (Node::Dir { .. }, Node::Dir { .. }) => true,
        _ => one == other,
    }
}

/// Starts a server that stops at a call of its start; answers whether it came so far.
fn start_until(world: &mut World, side: Side, call: u32) -> bool {
    let (server, slot) = match side {
        Side::A => (world.system.command_a(), &mut world.system.server_a),
        Side::B => (world.system.command_b(), &mut world.system.server_b),
    };
    let mut command = std::process::Command::new("strace");
    command.args(["-D", "-o", "/dev/null", "-e", &format!("trace={CALLS}"), "-e", "signal=none"]);
    command.args(["-e", &format!("inject={CALLS}:signal=SIGSTOP:when={call}")]);
    command.arg(server.get_program()).args(server.get_args());
    command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let name = format!("server-{}", side.to_string().to_lowercase());
    let server = Server::spawn(command, &world.system.dir.path().join("logs"), &name);
    let server = slot.insert(server);
    let ready = format!("{name} ready: ");
    let mut stopped = false;
    until("the step, or the ready line", || {
        stopped = is_stopped(server.pid().as_raw_nonzero().get());
        stopped || server.said().contains(&ready)
    });
    stopped
}

/// A power cut while a server recovers from a power cut, at every step of its start (C16).
#[test]
fn a_power_cut_during_recovery_loses_nothing() {
    let full = std::env::var_os("LAB3_FULL").is_some();
    let names = if full {
        &["replace", "replace-large", "delete", "delete-tree", "file-for-directory"][..]
    } else {
        &["replace", "delete"]
    };
    let mut cases = 0;
    for side in Side::BOTH {
        let mut world = match World::new(Cut::One(side), &[]) {
            Ok(world) => world,
            Err(why) => return skip("a_power_cut_during_recovery_loses_nothing", &why),
        };
        let acts = ACTS.iter().filter(|act| names.contains(&act.name));
        for (does, first) in acts.flat_map(|act| (1..=12_u32).map(move |first| (act, first))) {
            if !full && !matches!(first, 4 | 7) {
                continue;
            }
            for again in 1.. {
                if !full && again % 9 != first % 9 {
                    if again > 40 {
                        break;
                    }
                    continue;
                }
                let (name, place, _) = act(&mut world, does, side.other(), side, first);
                let after = below(&place, "");
                world.cut(Last::Names);
                let stopped = start_until(&mut world, side, again);
                world.cut(if again % 2 == 0 { Last::Names } else { Last::Nothing });
                world.start();
                world.system.agree();
                cases += 1;
                let found = below(world.system.root(side), &name);
                let differing = trees::differences(&found, &after);
                let case = format!("{side}, {}, {first}, then {again}", does.name);
                assert!(differing.is_empty(), "{case}: {found:?} should be {after:?}");
                world.is_at_rest();
                if !stopped {
                    break;
                }
            }
        }
    }
    eprintln!("power cuts during recovery: {cases} cases, nothing lost");
}

/// Without flushes a power cut may undo what was done, which then passes for what a user did; but
/// what is there is a whole version that somebody wrote, and both sides become equal (G2).
#[test]
fn with_relaxed_durability_a_power_cut_undoes_but_tears_nothing() {
    let full = std::env::var_os("LAB3_FULL").is_some();
    let mut cases = 0;
    for cut in [Cut::One(Side::A), Cut::One(Side::B)] {
        let mut world = match World::new(cut, &["--durability", "relaxed"]) {
            Ok(world) => world,
            Err(why) => return skip("with_relaxed_durability", &why),
        };
        let side = cut.sides()[0];
        for (number, does) in ACTS.iter().enumerate() {
            for call in (1..=20).chain([9999]) {
                if !full && call != 9999 && call as usize % 12 != number {
                    continue;
                }
                for last in Last::BOTH {
                    let (name, place, before) = act(&mut world, does, side.other(), side, call);
                    let after = below(&place, "");
                    world.cut(last);
                    world.start();
                    until("nothing waits", || {
                        world.system.lab3(&["wait", "--timeout", "60s"]).code == 0
                    });
                    world.system.agree();
                    cases += 1;
                    let found = below(world.system.root(side), &name);
                    let case = format!("{cut:?}, {}, {call}, {last:?}", does.name);
                    let written = |node: &Node| {
                        before.values().chain(after.values()).any(|other| same_content(node, other))
                    };
                    for (path, node) in found.iter().filter(|(path, _)| !is_dir(&after, path)) {
                        let shown = String::from_utf8_lossy(path);
                        assert!(written(node), "{case}: nobody wrote {shown:?}, {node:?}");
                    }
                }
            }
        }
    }
    eprintln!("power cuts without flushes: {cases} cases, nothing torn");
}
