//! A peer that floods: its words wait in its own machine, and whoever works at A is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::side::Side;
use common::wire::message::{Observation, Order, PeerMessage, Report, Row};

use crate::dice::is_full;
use crate::fake_b::{FakeB, answer};
use crate::hostile_kit::{file, is_well, path, peak};
use crate::server::until;
use crate::system::System;
use crate::trees::put;

/// What a flood may take of A's memory, in kilobytes: the mailbox, what a frame becomes, and the
/// names that A remembers for a while, which are bounded in number.
const FLOOD_KB_MAX: u64 = 256 * 1024;

/// B tells of changes without pause, faster than anybody hears. Edits at A go to B, clients are
/// answered, and memory stays bounded (H22).
#[test]
fn a_flood_of_b_stops_nobody_and_stays_in_its_own_machine() {
    let mut system = System::new();
    let flooding = Arc::new(AtomicBool::new(false));
    let (on, rows_told) = (flooding.clone(), Arc::new(AtomicU64::new(0)));
    let (told, ordered) = (rows_told.clone(), Arc::new(AtomicU64::new(0)));
    let orders = ordered.clone();
    let mut round = 0_u64;
    let rounds = if is_full() { 400 } else { 60 };
    let b = FakeB::before(&mut system, Vec::new(), move |raw, message| {
        answer(raw, message, &[]);
        if matches!(message, PeerMessage::Order(Order::Commit { .. })) {
            orders.fetch_add(1, Ordering::SeqCst);
        }
        if !on.load(Ordering::SeqCst) {
            return true;
        }
        for _ in 0..rounds {
            round += 1;
            let row = |n: u64| {
                let name = format!("{:08}/{}", round * 1000 + n, "long".repeat(30));
                let entry = (n % 10 == 9).then(|| file(b"x", 0o644));
                Row { path: path(name), entry: entry.filter(|_| false), content: None, seen: None }
            };
            let look = Observation { rows: (0..1000).map(row).collect(), ..Observation::default() };
            if !raw.say(&PeerMessage::Report(Report::Observed(look))) {
                return true;
            }
            told.fetch_add(1000, Ordering::SeqCst);
        }
        true
    });
    system.b_is("connected");
    system.wait();
    let before = peak(&system, Side::A);
    flooding.store(true, Ordering::SeqCst);
    for n in 0..10 {
        let had = ordered.load(Ordering::SeqCst);
        put(&system.a, format!("mine{n}"), "mine");
        until("an edit at A is on its way", || ordered.load(Ordering::SeqCst) > had);
        system.ok(&["status"]);
        system.ok(&["-lock", &format!("mine{n}")]);
    }
    until("it was a flood", || {
        system.ok(&[]);
        rows_told.load(Ordering::SeqCst) >= rounds * 10_000
    });
    flooding.store(false, Ordering::SeqCst);
    let after = peak(&system, Side::A);
    let rows = rows_told.load(Ordering::SeqCst);
    eprintln!("flood: {rows} rows told, peak of A from {before} to {after} kB");
    assert!(after < before + FLOOD_KB_MAX, "from {before} to {after} kB by {rows} rows");
    assert_eq!(b.connections(), 1, "it was borne");
    is_well(&mut system, Side::A);
}
