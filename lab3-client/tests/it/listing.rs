//! The listing: streamed, escaped, and quiet when nobody reads on.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::Arc;

use common::wire::client::{Answer, Link, ListingPart, State};
use common::wire::message::Role;
use tokio::sync::Notify;

use crate::fake_a::{FakeA, GENERATION, Lab3, Step, part, row, time};

fn many(count: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for start in (0..count).step_by(1000) {
        let rows = (start..count.min(start + 1000))
            .map(|at| row(format!("dir/file-{at:06}"), at as u64, State::Agreed))
            .collect();
        steps.push(Step::Say(part(rows, start + 1000 >= count)));
    }
    steps
}

#[test]
fn rows_are_printed_before_the_listing_is_whole() {
    let go_on = Arc::new(Notify::new());
    let sign = go_on.clone();
    let server = FakeA::start(Role::Coordinator, move |_| {
        vec![
            Step::Say(part(vec![row("first", 1, State::Agreed)], false)),
            Step::Await(sign.clone()),
            Step::Say(part(vec![row("second", 2, State::Agreed)], true)),
        ]
    });
    let lab3 = Lab3::of(&server.address);
    let mut child = lab3.command(&[]).stdout(Stdio::piped()).spawn().expect("runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    for word in ["index", "first"] {
        line.clear();
        out.read_line(&mut line).expect("a line");
        assert!(line.contains(word), "{line}");
    }
    go_on.notify_one();
    line.clear();
    out.read_to_string(&mut line).expect("the rest");
    assert!(line.contains("second"), "{line}");
    assert!(child.wait().expect("ended").success());
}

#[test]
fn a_long_listing_is_never_held_whole() {
    const ROWS: usize = 100_000;
    let go_on = Arc::new(Notify::new());
    let sign = go_on.clone();
    let server = FakeA::start(Role::Coordinator, move |_| {
        let name = "n".repeat(200);
        let long = |at| row(format!("{name}/{name}-{at}"), 1, State::Agreed);
        let mut steps: Vec<Step> = (0..ROWS / 1000)
            .map(|at| Step::Say(part((at * 1000..at * 1000 + 1000).map(long).collect(), false)))
            .collect();
        steps.push(Step::Await(sign.clone()));
        steps.push(Step::Say(part(vec![], true)));
        steps
    });
    let lab3 = Lab3::of(&server.address);
    let mut child = lab3.command(&[]).stdout(Stdio::piped()).spawn().expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let printed = lines.by_ref().take(ROWS + 1).filter(Result::is_ok).count();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("there");
    go_on.notify_one();
    assert_eq!((printed, lines.count()), (ROWS + 1, 0));
    assert!(child.wait().expect("ended").success());
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak_kib < 25 * 1024, "{peak_kib} KiB for 40 MB of names");
}

#[test]
fn a_closed_pipe_is_quiet_and_the_listing_still_counts() {
    let server = FakeA::start(Role::Coordinator, |_| many(20_000));
    let lab3 = Lab3::of(&server.address);
    for args in [&["list"][..], &["list", "--json"]] {
        let mut command = lab3.command(args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let mut out = child.stdout.take().expect("a pipe");
        let mut first = [0; 20];
        out.read_exact(&mut first).expect("the beginning");
        drop(out);
        let end = child.wait_with_output().expect("ended");
        assert_eq!(end.status.code(), Some(0), "{end:?}");
        assert!(end.stderr.is_empty(), "{end:?}");
    }
    let ran = lab3.run(&["-lock", "20000"]);
    assert!(ran.err.contains("0 to 19999"), "{ran:?}");
}

#[test]
fn a_closed_pipe_does_not_hide_a_refusal() {
    let refusal = common::wire::client::Refusal {
        kind: common::wire::client::RefusalKind::LockedByAnother,
        message: "no".to_owned(),
        hint: None,
    };
    let server = FakeA::answering(Answer::Refused(refusal));
    let lab3 = Lab3::of(&server.address);
    let mut child =
        lab3.command(&["-lock", "x", "--json"]).stdout(Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ended").code(), Some(4));
}

#[test]
fn no_name_reaches_the_terminal_as_it_is() {
    let rows = vec![
        row("\x1b[2J\x1b]0;x\x07", 1, State::Agreed),
        row("a\nb\tc", 1, State::Agreed),
        row("\u{202e}gpj.exe", 1, State::Agreed),
        row(b"latin-\xe9", 1, State::Agreed),
        row("back\\slash", 1, State::Agreed),
    ];
    let server = FakeA::answering(part(rows, true));
    let ran = Lab3::of(&server.address).run(&[]);
    assert_eq!(ran.out.lines().count(), 6, "{}", ran.out);
    assert!(ran.out.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", ran.out);
    for escaped in ["\\x1b[2J", "a\\nb\\tc", "\\u{202e}gpj", "latin-\\xe9", "back\\\\slash"] {
        assert!(ran.out.contains(escaped), "{escaped}: {}", ran.out);
    }
}

#[test]
fn json_carries_every_name_without_loss() {
    let names: [&[u8]; 4] = [b"latin-\xe9", "grün\n\"x\"".as_bytes(), b"\xff\xfe", b"plain"];
    let rows = names.iter().map(|name| row(name, 1, State::Agreed)).collect();
    let server = FakeA::answering(part(rows, true));
    let ran = Lab3::of(&server.address).run(&["--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let entries = value["entries"].as_array().expect("entries");
    assert_eq!(entries[0]["path"], "latin-\\xe9");
    assert_eq!(entries[0]["path_bytes"], "bGF0aW4t6Q==");
    assert_eq!(entries[1]["path"], "grün\n\"x\"");
    assert!(entries[1].get("path_bytes").is_none() && entries[3].get("path_bytes").is_none());
    assert_eq!(entries[2]["path_bytes"], "//4=");
    assert_eq!(entries[3]["path"], "plain");
}

#[test]
fn a_long_listing_is_one_json_value() {
    let server = FakeA::start(Role::Coordinator, |_| many(2500));
    let ran = Lab3::of(&server.address).run(&["list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let entries = value["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 2500);
    assert!(entries.iter().zip(0..).all(|(entry, index)| entry["index"] == index));
}

#[test]
fn an_empty_listing_is_a_header_and_an_empty_list() {
    let server = FakeA::answering(part(vec![], true));
    let lab3 = Lab3::of(&server.address);
    assert_eq!(lab3.run(&[]).out, "index  name        size  modified  state\n");
    let ran = lab3.run(&["--json"]);
    assert_eq!(ran.out, "{\"generation\":\"77-42\",\"b\":\"connected\",\"entries\":[]}\n");
    assert!(lab3.run(&["-lock", "0"]).err.contains("the last listing was empty"));
}

#[test]
fn that_b_is_away_is_said_beside_the_data() {
    let away = |since| {
        Answer::Listing(ListingPart {
            generation: GENERATION,
            b: Link::Away { since, reason: "connection refused".to_owned() },
            rows: vec![],
            last: true,
        })
    };
    let server = FakeA::answering(away(Some(time(0))));
    let lab3 = Lab3::of(&server.address);
    let ran = lab3.run(&[]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.err, "server B is away since 2026-11-21 10:10:00: connection refused\n");
    let value: serde_json::Value = serde_json::from_str(&lab3.run(&["--json"]).out).expect("JSON");
    assert_eq!(value["b"], "away");
    assert_eq!(value["b_since"], "2026-11-21T10:10:00.123Z");
    let never = FakeA::answering(away(None));
    assert!(Lab3::of(&never.address).run(&[]).err.starts_with("server B is away since the start"));
}

#[test]
fn a_refused_listing_prints_nothing() {
    let refusal = common::wire::client::Refusal {
        kind: common::wire::client::RefusalKind::Refused,
        message: "side A is halted".to_owned(),
        hint: Some("run `lab3 status`".to_owned()),
    };
    let server = FakeA::answering(Answer::Refused(refusal));
    let ran = Lab3::of(&server.address).run(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_eq!(ran.err, "lab3: side A is halted\nhint: run `lab3 status`\n");
}
