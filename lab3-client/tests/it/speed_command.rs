//! The servers say themselves how fast edits travel: of all of them, and of the last of a path.

use common::side::Side;
use serde_json::Value;

use crate::server::until;
use crate::system::System;
use crate::trees::put;

const STAGES: [&str; 7] = ["told", "link", "ordered", "durable", "visible", "reported", "agreed"];
const WAYS: [(&str, Side); 2] = [("a_to_b", Side::A), ("b_to_a", Side::B)];

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The trace of the last edit of a path, once it is agreed on and is another than this one.
fn last_edit(system: &System, path: &str, but: &Value) -> Value {
    let mut last = Value::Null;
    until("the trace of an edit that is agreed on", || {
        last = system.json(&["status", path])["last_edit"].clone();
        !last["seen_to_agreed"].is_null() && last["time"] != but["time"]
    });
    last
}

#[test]
fn after_an_edit_each_way_every_part_of_both_is_known() {
    let system = System::holding(&[("report.txt", "one"), ("notes.txt", "one")]);
    assert_eq!(system.json(&["status", "missing"])["last_edit"], Value::Null);
    let mut old = system.json(&["status", "report.txt"])["last_edit"].clone();
    for (round, (way, from)) in WAYS.iter().chain(WAYS.iter()).enumerate() {
        put(system.root(*from), "report.txt", format!("version {round} of {from}"));
        system.wait();
        let last = last_edit(&system, "report.txt", &old);
        assert_eq!(last["from"], from.to_string());
        let parts: Vec<u64> = STAGES.iter().map(|stage| number(&last["stages"][*stage])).collect();
        assert_eq!(parts[..5].iter().sum::<u64>(), number(&last["seen_to_visible"]), "{last}");
        assert_eq!(parts.iter().sum::<u64>(), number(&last["seen_to_agreed"]), "{last}");
        let speed = &system.json(&["status"])["speed"][*way];
        for stage in STAGES {
            let spread = &speed["stages"][stage];
            assert!(number(&spread["count"]) >= 1, "{stage}: {speed}");
        }
        for whole in ["seen_to_visible", "seen_to_agreed"] {
            assert!(number(&speed[whole]["max"]) >= number(&last[whole]), "{speed}, {last}");
        }
        old = last;
    }
    let text = system.ok(&["status"]);
    assert!(text.contains("a → b  ") && text.contains("b → a  "), "{text}");
    assert!(text.contains(", visible p50 "), "{text}");
    let text = system.ok(&["status", "report.txt"]);
    assert!(text.contains("last edit: b → a, ") && text.contains("its parts: told "), "{text}");
    system.agree();
}

#[test]
fn the_percentiles_of_many_edits_are_in_order() {
    let system = System::started();
    for round in 0..100 {
        put(&system.a, "from-a.txt", format!("{round}"));
        put(&system.b, format!("from-b-{round}.txt"), "new");
        until("both are there", || {
            let there = std::fs::read(system.b.join("from-a.txt"));
            there.is_ok_and(|content| content == round.to_string().as_bytes())
                && system.a.join(format!("from-b-{round}.txt")).exists()
        });
    }
    system.agree();
    let status = system.json(&["status"]);
    for (way, _) in WAYS {
        let speed = &status["speed"][way];
        // One may have been found by a look at everything, of which no hint tells.
        assert!(number(&speed["seen_to_visible"]["count"]) >= 90, "{speed}");
        let stages = STAGES.iter().map(|stage| &speed["stages"][*stage]);
        for spread in stages.chain([&speed["seen_to_visible"], &speed["seen_to_agreed"]]) {
            let [p50, p95, p99, max] =
                ["p50", "p95", "p99", "max"].map(|name| number(&spread[name]));
            assert!(p50 <= p95 && p95 <= p99 && p99 <= max, "{spread}");
        }
    }
}

#[test]
fn the_time_under_a_lock_is_in_no_figure() {
    let system = System::holding(&[("report.txt", "one")]);
    // The file may have been there before the servers met, which is no edit.
    let old = system.json(&["status", "report.txt"])["last_edit"].clone();
    put(&system.a, "report.txt", "two");
    let last = last_edit(&system, "report.txt", &old);
    system.ok(&["lock", "report.txt"]);
    let before = system.json(&["status"])["speed"]["b_to_a"].clone();
    put(&system.b, "report.txt", "of B, under the lock of A");
    until("it is held", || !system.held(&["report.txt"]).is_empty());
    system.ok(&["unlock", "report.txt"]);
    system.agree_on(&[("report.txt", "of B, under the lock of A")]);
    assert_eq!(system.json(&["status"])["speed"]["b_to_a"], before);
    assert_eq!(system.json(&["status", "report.txt"])["last_edit"], last);
}
