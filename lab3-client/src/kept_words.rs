//! Versions in trash and conflict copies, in words. Pure: text with its line ends, for stdout.

use std::fmt::Write as _;

use common::side::Side;
use common::wire::client::kept::{ConflictRow, Fate, Resolved, Restored};
use common::wire::trashed::{TrashId, TrashReason, TrashRow};

use crate::table::{Column, numbers, render, words};
use crate::words::{safe, waiting};

const TRASH: &[Column] = &[
    numbers("index", 0),
    words("path"),
    words("side"),
    numbers("size", 0),
    words("since"),
    words("why"),
    words("id"),
];

const CONFLICTS: &[Column] = &[
    numbers("index", 0),
    words("name"),
    words("lost by"),
    numbers("size", 0),
    words("modified"),
    words("state"),
    words("copy"),
];

/// What is in trash.
#[must_use]
pub fn trash(rows: &[(Side, TrashRow)]) -> String {
    let cells = |(index, (side, row)): (usize, &(Side, TrashRow))| {
        vec![
            index.to_string(),
            row.path.to_string(),
            side.to_string(),
            row.size.to_string(),
            row.time.local(),
            reason(row.reason).to_owned(),
            TrashId { side: *side, name: row.name.clone() }.to_string(),
        ]
    };
    render(TRASH, &rows.iter().enumerate().map(cells).collect::<Vec<_>>())
}

fn reason(reason: TrashReason) -> &'static str {
    match reason {
        TrashReason::Replaced => "replaced",
        TrashReason::Deleted => "deleted",
        TrashReason::Recovered => "found after a crash",
        TrashReason::Discarded => "held, discarded",
    }
}

/// A version that is back.
#[must_use]
pub fn restored(restored: &Restored) -> String {
    let Restored { side, path, agreed, waiting: rows } = restored;
    let mut text = format!("restored `{path}` at {side}\n");
    agreement(&mut text, *agreed);
    text + &waiting(rows)
}

fn agreement(text: &mut String, agreed: bool) {
    text.push_str(match agreed {
        true => "both sides now agree\n",
        false => "both sides do not agree yet\n",
    });
}

/// The conflict copies.
#[must_use]
pub fn conflicts(rows: &[ConflictRow]) -> String {
    let cells = |(index, row): (usize, &ConflictRow)| {
        vec![
            index.to_string(),
            row.original.to_string(),
            row.side.to_string(),
            row.size.to_string(),
            row.modified.local(),
            state(row),
            row.path.to_string(),
        ]
    };
    render(CONFLICTS, &rows.iter().enumerate().map(cells).collect::<Vec<_>>())
}

fn state(row: &ConflictRow) -> String {
    let mut parts = Vec::new();
    if row.edited {
        parts.push("edited since");
    }
    if row.rival.is_none() {
        parts.push("original is gone");
    }
    if parts.is_empty() { "ok".to_owned() } else { parts.join(", ") }
}

/// What became of conflict copies, or would.
#[must_use]
pub fn resolved(resolved: &Resolved) -> String {
    let Resolved { dry_run, rows, agreed, waiting: open, .. } = resolved;
    let mut text = String::new();
    for row in rows {
        let (path, original) = (&row.path, &row.original);
        let (takes, goes, is) = match dry_run {
            true => ("would take", "would go to", "would be"),
            false => ("has taken", "is in", "is"),
        };
        // Writing to a string cannot fail.
        let _ = match &row.fate {
            Fate::TakesName => writeln!(text, "`{path}` {takes} the name `{original}`"),
            Fate::Trashed => writeln!(text, "`{path}` {goes} trash"),
            Fate::Renamed(kept) => writeln!(text, "`{path}` {is} kept as `{kept}`"),
            Fate::Left(why) => {
                let hint = why.hint.as_deref().map(|hint| format!(" ({})", safe(hint)));
                let hint = hint.unwrap_or_default();
                writeln!(text, "left: `{path}`: {}{hint}", safe(&why.message))
            }
        };
    }
    if rows.is_empty() {
        text.push_str("there is no conflict copy\n");
    } else if !dry_run {
        agreement(&mut text, *agreed);
    }
    text + &waiting(open)
}
