//! The program as its users run it: small, on the real servers, and what its document says then.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests touch the world: real processes and files"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

mod instructions;

/// The program, with what it starts beside it. `cargo test --workspace` builds all of them.
fn bench() -> Command {
    static LOOKED: OnceLock<()> = OnceLock::new();
    let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
    LOOKED.get_or_init(|| {
        let programs = ["server-a", "server-b", "lab3"];
        if programs.iter().all(|name| bench.with_file_name(name).exists()) {
            return;
        }
        eprintln!("the servers are not built yet: running `cargo build --workspace`, once");
        let mut build = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        build.args(["build", "--workspace", "--bins"]);
        if bench.parent().is_some_and(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        let target = bench.ancestors().nth(2).expect("a target directory");
        build.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target);
        assert!(build.status().expect("cargo runs").success(), "the servers cannot be built");
    });
    Command::new(bench)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs these scenarios at their smallest; answers the document and what was printed.
fn quick(only: &str) -> (Value, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let (json, place) = (dir.path().join("figures.json"), dir.path().join("place"));
    let mut command = bench();
    command.args(["--quick", "--only", only, "--json"]).arg(&json).arg("--dir").arg(&place);
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let said = text(&stdout);
    assert!(status.success(), "{status}\n{said}{}", text(&stderr));
    let left = fs::read_dir(&place).expect("it was made").count();
    assert_eq!(left, 0, "something was left behind");
    let document = fs::read_to_string(&json).expect("the document");
    (serde_json::from_str(&document).expect("JSON"), said)
}

/// The rows of a scenario, as (name, row).
fn rows<'d>(document: &'d Value, scenario: &str) -> Vec<(&'d str, &'d Value)> {
    let figures = document["figures"].as_array().expect("figures");
    let ours = figures.iter().filter(|row| row["scenario"] == scenario);
    ours.map(|row| (row["name"].as_str().expect("a name"), row)).collect()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {row}"))
}

#[test]
fn a_quick_run_measures_every_kind_of_change_each_way_and_a_burst() {
    let (document, said) = quick("latency,burst");
    let latency = rows(&document, "latency");
    for way in ["A>B", "B>A"] {
        for kind in ["edit", "new", "save", "rename", "mkdir", "delete"] {
            let name = format!("{way} {kind}");
            let row = latency.iter().find(|(found, _)| *found == name);
            let row = row.unwrap_or_else(|| panic!("no row `{name}` in {document:#}")).1;
            let [p50, p95, p99, max] = ["p50", "p95", "p99", "max"].map(|key| number(row, key));
            assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 <= max, "{row:#}");
            let samples = row["samples"].as_array().expect("samples");
            assert_eq!(samples.len() as u64, row["count"].as_u64().expect("a count"));
            assert!(samples.iter().any(|sample| sample.as_f64() == Some(max)), "{row:#}");
            assert!(said.contains(&name), "{said}");
        }
    }
    let burst = rows(&document, "burst");
    assert_eq!(burst.len(), 2, "{document:#}");
    assert!(burst.iter().all(|(_, row)| number(row, "value") > 0.0), "{document:#}");
    assert_eq!(document["failures"].as_array().map(Vec::len), Some(0));
    assert!(document["about"]["processors"].as_u64() > Some(0));
}

#[test]
fn every_other_scenario_runs_at_its_smallest() {
    let only = "micro,floor,small,compare,restart,idle,listing,large,delta,slow,directory";
    let (document, said) = quick(only);
    for scenario in only.split(',').filter(|name| *name != "compare") {
        assert!(!rows(&document, scenario).is_empty(), "nothing of `{scenario}`:\n{said}");
    }
    let small = rows(&document, "small");
    let beside = &small.iter().find(|(name, _)| *name == "to equal trees").expect("the row").1;
    let ratio = beside["beside"][0]["ratio"].as_f64().expect("a ratio");
    let [ours, cp] = [number(beside, "value"), number(&beside["beside"][0], "value")];
    assert!((ratio - ours / cp).abs() < 1e-6 * ratio, "{beside:#}");
}

#[test]
fn growth_measures_every_size_and_draws_what_it_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let (json, plots) = (dir.path().join("figures.json"), dir.path().join("plots"));
    let mut command = bench();
    command.args(["--quick", "--only", "growth", "--dir"]).arg(dir.path().join("place"));
    let run = command.arg("--json").arg(&json).arg("--plots").arg(&plots).output();
    let run = run.expect("it runs");
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    let document = fs::read_to_string(&json).expect("the document");
    let document = serde_json::from_str(&document).expect("JSON");
    let found = rows(&document, "growth");
    for size in [20, 200] {
        for what in ["first", "A>B edit", "B>A edit", "copied"] {
            let name = format!("{size} files, {what}");
            assert!(found.iter().any(|(found, _)| *found == name), "no `{name}`");
        }
    }
    for (name, lines) in [("edit.svg", 3), ("first.svg", 2)] {
        let svg = fs::read_to_string(plots.join(name)).expect("a plot");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), lines, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2 * lines, "{svg}");
    }
}

#[test]
fn what_is_not_built_is_said_with_the_command_that_builds_it() {
    let empty = tempfile::tempdir().expect("a directory");
    let run = bench().arg("--programs").arg(empty.path()).output().expect("it runs");
    assert_eq!(run.status.code(), Some(1));
    let complaint = text(&run.stderr);
    assert!(complaint.contains("server-a`\nhint: build all programs"), "{complaint}");
}

#[test]
fn what_does_not_come_true_is_said_and_fails() {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = bench();
    // Nothing can be there without any time.
    command.args(["--quick", "--only", "burst", "--burst", "20", "--deadline", "0", "--dir"]);
    let run = command.arg(place.path()).output().expect("it runs");
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    assert!(text(&run.stdout).contains("FAILED: "), "{}", text(&run.stdout));
}
