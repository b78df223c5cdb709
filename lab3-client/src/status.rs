//! How the system or a path does, in words. Pure.

use std::fmt::Write as _;

use common::side::Side;
use common::wire::client::{Link, PathStatus, ProblemRow, State, Status};
use common::wire::message::Condition;

use crate::speed::{speeds, trace};
use crate::words::{away, safe, waiting};

/// How the system does.
#[must_use]
pub fn system(status: &Status) -> String {
    let mut text = format!("server A {}\n", safe(&status.version));
    match &status.b {
        Link::Connected => text.push_str("server B is connected\n"),
        link @ Link::Away { .. } => text.push_str(&away(link).unwrap_or_default()),
    }
    if let Some(why) = &status.halted {
        let _ = writeln!(text, "halted: {}", safe(why));
    }
    side(&mut text, Side::A, &status.side_a);
    side(&mut text, Side::B, &status.side_b);
    if halted(status).is_some() {
        text.push_str(
            "hint: `lab3 approve` goes on and takes what was found as meant, deletions too; \
             `lab3 reject` restores it from the other side\n",
        );
    }
    let _ = writeln!(
        text,
        "A knows {} paths, B {}; {} agreed, {} under way",
        status.known.0, status.known.1, status.agreed, status.in_flight
    );
    let _ = writeln!(
        text,
        "locks: {}, held: {} ({} bytes)",
        status.locks, status.held.0, status.held.1
    );
    text.push_str(&speeds(&status.speed));
    match &status.checked {
        Some(last) => {
            let _ = writeln!(text, "compared {}: {}", last.time.local(), safe(&last.found));
        }
        None => text.push_str("not compared yet\n"),
    }
    if let Some(problem) = &status.journal {
        let _ = writeln!(text, "problem: the journal {}", safe(problem));
    }
    counted(&mut text, "waiting", status.waiting_count, status.waiting.len());
    text.push_str(&waiting(&status.waiting));
    counted(&mut text, "problems", status.problem_count, status.problems.len());
    problems(&mut text, &status.problems);
    text
}

/// Why nothing moves, if it does not: the whole, or one side.
#[must_use]
pub fn halted(status: &Status) -> Option<&str> {
    [&status.halted, &status.side_a.halted, &status.side_b.halted]
        .into_iter()
        .find_map(|why| why.as_deref())
}

/// How a path does.
#[must_use]
pub fn path(status: &PathStatus) -> String {
    let mut text = format!("`{}`\n", status.path);
    for (place, what) in ["at A", "at B", "archive"].iter().zip(&status.at) {
        let _ = writeln!(text, "{place}: {}", safe(what));
    }
    let state = match status.state {
        None => "nothing is there",
        Some(State::Agreed) => "ok, both sides agree",
        Some(State::OnlyA) => "only at A",
        Some(State::OnlyB) => "only at B",
        Some(State::Differs) => "differs",
        Some(State::Held) => "B's edits are held",
        Some(State::Problem) => "cannot be read on one side",
    };
    let _ = writeln!(text, "state: {state}");
    if let Some(lock) = &status.lock {
        let comment = lock.comment.as_deref().map_or_else(String::new, |c| format!(": {c}"));
        let _ = writeln!(
            text,
            "locked by {} since {}, through `{}`{}",
            safe(&lock.holder),
            lock.since.local(),
            lock.path,
            safe(&comment)
        );
    }
    if status.held > 0 {
        let _ = writeln!(text, "held: {}", status.held);
    }
    text.push_str(&waiting(&status.waiting));
    problems(&mut text, &status.problems);
    if let Some(last) = &status.last_edit {
        text.push_str(&trace(last));
    }
    text
}

fn side(text: &mut String, side: Side, condition: &Condition) {
    if let Some(why) = &condition.halted {
        let _ = writeln!(text, "side {side}: halted: {}", safe(why));
    }
    let Condition { watched, polled, unwatched, .. } = condition;
    if *polled + *unwatched > 0 {
        let _ = writeln!(
            text,
            "side {side}: degraded: {watched} directories watched, {polled} polled, \
             {unwatched} neither"
        );
    } else {
        let _ = writeln!(text, "side {side}: {watched} directories watched");
    }
    if let Some(hint) = &condition.watch_hint {
        let _ = writeln!(text, "hint: {}", safe(hint));
    }
    if condition.scrub_found > 0 {
        let Condition { scrubs, scrub_found, .. } = condition;
        let _ = writeln!(
            text,
            "side {side}: {scrub_found} changes were found only by a scrub, of {scrubs}"
        );
    }
    if !condition.lacks.is_empty() {
        let lacks = safe(&condition.lacks.join(", "));
        let _ = writeln!(text, "side {side}: the file system lacks {lacks}");
    }
    if let Some(unsettled) = &condition.unsettled {
        let _ = writeln!(text, "side {side}: {}", safe(unsettled));
    }
    for path in &condition.linked_outside {
        let _ = writeln!(text, "side {side}: `{path}` has another name outside the directory");
    }
}

fn counted(text: &mut String, what: &str, count: u64, shown: usize) {
    if count > shown as u64 {
        let _ = writeln!(text, "{what}: {count}, of which {shown} are shown");
    } else {
        let _ = writeln!(text, "{what}: {count}");
    }
}

fn problems(text: &mut String, rows: &[ProblemRow]) {
    for row in rows {
        let _ = writeln!(text, "problem: `{}` at {}: {}", row.path, row.side, safe(&row.detail));
    }
}
