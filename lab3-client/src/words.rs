//! Answers of server A in words. Pure: everything is text with its line ends, for stdout.
//!
//! Whatever another user or server chose (names, holders, comments, reasons) is made safe for a
//! terminal here.

use std::fmt::Write as _;

use common::path::inert;
use common::wire::client::{
    BrokenRow, DrainMode, HeldOp, HeldRow, Link, ListingRow, LockRow, Receipt, State, Waited,
    WaitingRow,
};

use crate::table::{Column, numbers, render, words};
use crate::terminal::Ink;

/// The columns of the listing.
pub const LISTING: &[Column] =
    &[numbers("index", 0), words("name"), numbers("size", 10), words("modified"), words("state")];

const LOCKS: &[Column] = &[
    numbers("id", 0),
    words("path"),
    words("holder"),
    words("since"),
    words("expires"),
    numbers("held", 0),
    words("comment"),
];

const HELD: &[Column] =
    &[numbers("seq", 0), words("path"), words("op"), numbers("size", 0), words("time")];

/// Text for people, from elsewhere: what a terminal would act on is escaped. Backslashes stay, for
/// names in it are escaped already.
#[must_use]
pub fn safe(text: &str) -> String {
    inert(text)
}

/// Locks that another broke, a line each, for stderr.
#[must_use]
pub fn broken(rows: &[BrokenRow]) -> String {
    let line = |row: &BrokenRow| {
        let (path, by, at) = (&row.path, safe(&row.by), row.at.local());
        format!("lab3: your lock of `{path}` was broken by {by} at {at}\n")
    };
    rows.iter().map(line).collect()
}

/// The cells of a row of the listing.
#[must_use]
pub fn listing_row(index: u64, row: &ListingRow) -> Vec<String> {
    vec![
        index.to_string(),
        row.path.to_string(),
        row.size.to_string(),
        row.modified.local(),
        state(row),
    ]
}

/// How a row of the listing stands.
#[must_use]
pub fn state(row: &ListingRow) -> String {
    let mut parts = Vec::new();
    if let Some(lock) = &row.lock {
        parts.push(format!("locked by {}", safe(&lock.holder)));
        if lock.draining {
            parts.push("unlocking".to_owned());
        }
    }
    match (row.held, row.state) {
        (0, State::Held) => parts.push("held".to_owned()),
        (0, _) => {}
        (held, _) => parts.push(format!("{held} held")),
    }
    match row.state {
        State::Agreed | State::Held => {}
        State::OnlyA => parts.push("only at A".to_owned()),
        State::OnlyB => parts.push("only at B".to_owned()),
        State::Differs => parts.push("differs".to_owned()),
        State::Problem => parts.push("problem".to_owned()),
    }
    if parts.is_empty() { "ok".to_owned() } else { parts.join(", ") }
}

/// The colour of a row of the listing.
#[must_use]
pub fn ink(row: &ListingRow) -> Ink {
    match row.state {
        State::Problem => Ink::Trouble,
        _ if row.lock.is_some() || row.held > 0 || row.state == State::Held => Ink::Held,
        State::OnlyA | State::OnlyB | State::Differs => Ink::Moving,
        State::Agreed | State::Held => Ink::Plain,
    }
}

/// The line that says that B is away, when it is.
#[must_use]
pub fn away(b: &Link) -> Option<String> {
    match b {
        Link::Connected => None,
        Link::Away { since, reason } => {
            let since = since.map_or_else(|| "the start".to_owned(), |since| since.local());
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            Some(format!("server B is away since {since}{}\n", safe(&reason)))
        }
    }
}

/// A lock that was taken.
#[must_use]
pub fn locked(lock: &LockRow) -> String {
    match lock.expires {
        None => format!("locked `{}`\n", lock.path),
        Some(expires) => format!("locked `{}` until {}\n", lock.path, expires.local()),
    }
}

/// All locks.
#[must_use]
pub fn locks(rows: &[LockRow]) -> String {
    let cells = |lock: &LockRow| {
        vec![
            lock.id.to_string(),
            lock.path.to_string(),
            safe(&lock.holder),
            lock.since.local(),
            lock.expires.map_or_else(|| "-".to_owned(), |expires| expires.local()),
            lock.held.to_string(),
            safe(lock.comment.as_deref().unwrap_or_default()),
        ]
    };
    render(LOCKS, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Held edits, in order.
#[must_use]
pub fn held(rows: &[HeldRow]) -> String {
    let cells = |edit: &HeldRow| {
        vec![
            edit.seq.to_string(),
            edit.path.to_string(),
            op(edit.op).to_owned(),
            edit.size.to_string(),
            edit.time.local(),
        ]
    };
    render(HELD, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn op(op: HeldOp) -> &'static str {
    match op {
        HeldOp::Create => "create",
        HeldOp::Write => "write",
        HeldOp::Metadata => "metadata",
        HeldOp::Replace => "replace",
        HeldOp::Delete => "delete",
    }
}

/// What an unlock did, or would do.
#[must_use]
pub fn receipt(receipt: &Receipt) -> String {
    let would = if receipt.dry_run { "would " } else { "" };
    let done = |verb: &str| if receipt.dry_run { verb.to_owned() } else { format!("{verb}ed") };
    let mut text = format!("{would}{} `{}`\n", done("unlock"), receipt.path);
    let edits = |count: u64| if count == 1 { "edit" } else { "edits" };
    let count = receipt.applied.len() as u64;
    if count > 0 {
        let apply = if receipt.dry_run { "apply" } else { "applied" };
        let _ = writeln!(text, "{would}{apply} {count} held {}, in order:", edits(count));
        text.push_str(&held(&receipt.applied));
    }
    if receipt.discarded > 0 {
        let count = receipt.discarded;
        let discard = done("discard");
        let _ = writeln!(text, "{would}{discard} {count} held {}, kept in trash", edits(count));
    }
    if count == 0 && receipt.discarded == 0 {
        text.push_str("nothing was held\n");
    }
    for path in &receipt.conflicts {
        let whose = match receipt.mode {
            DrainMode::Apply | DrainMode::Discard => "A's version",
            DrainMode::KeepA => "B's last version",
        };
        let kept = if receipt.dry_run { "would be kept" } else { "is kept" };
        let _ = writeln!(text, "conflict: {whose} {kept} as `{path}`");
    }
    if receipt.agreed {
        text.push_str("both sides now agree\n");
    } else if !receipt.dry_run {
        text.push_str("both sides do not agree yet\n");
    }
    text.push_str(&waiting(&receipt.waiting));
    text
}

/// What waits, and why, one line each.
#[must_use]
pub fn waiting(rows: &[WaitingRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let side = row.side.map_or_else(String::new, |side| format!(" at {side}"));
        let next = row.next_try.map_or_else(String::new, |at| format!(", next try {}", at.local()));
        let _ = writeln!(
            text,
            "waits: `{}`{side}: {}, since {}{next}",
            row.path,
            safe(&row.reason),
            row.since.local()
        );
    }
    text
}

/// The end of a wait that was not the wanted one.
#[must_use]
pub fn not_yet(waited: &Waited) -> Option<(String, String)> {
    let Waited::Waiting { timed_out, reason, waiting: rows } = waited else {
        return None;
    };
    let what = if *timed_out { "the time is over" } else { "something still waits" };
    let why = reason.as_deref().map_or_else(String::new, |reason| format!(": {}", safe(reason)));
    Some((format!("{what}{why}"), waiting(rows)))
}
