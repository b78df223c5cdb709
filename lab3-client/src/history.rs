//! What happened, in words. Pure.

use common::entry::Kind;
use common::wire::log::{Happened, LogPart, LogRow, Version};

use crate::table::{Column, render, words};
use crate::words::safe;

const LOG: &[Column] =
    &[words("time"), words("way"), words("what"), words("path"), words("detail")];

/// The rows, the oldest first.
#[must_use]
pub fn log(part: &LogPart) -> String {
    let cells = |row: &LogRow| {
        vec![
            row.time.local(),
            way(row),
            what(row.what).to_owned(),
            row.path.as_ref().map_or_else(|| "-".to_owned(), |path| path.to_string()),
            detail(row),
        ]
    };
    render(LOG, &part.rows.iter().map(cells).collect::<Vec<_>>())
}

/// What the reader should know about the answer itself.
#[must_use]
pub fn remarks(part: &LogPart) -> Option<String> {
    let mut lines = Vec::new();
    if let Some(problem) = &part.problem {
        lines.push(format!("lab3: the journal: {}\n", safe(problem)));
    }
    if part.rows.is_empty() {
        lines.push("lab3: nothing is written down about that\n".to_owned());
    }
    if part.more {
        lines.push("hint: there are older ones; `--limit` shows more\n".to_owned());
    }
    (!lines.is_empty()).then(|| lines.concat())
}

/// From whose user to which side: `B→A`.
fn way(row: &LogRow) -> String {
    match (row.by, row.carried) {
        (Some(by), Some(to)) => format!("{by}→{to}"),
        (Some(by), None) => by.to_string(),
        (None, Some(to)) => format!("→{to}"),
        (None, None) => "-".to_owned(),
    }
}

fn what(what: Happened) -> &'static str {
    match what {
        Happened::Created => "created",
        Happened::Written => "written",
        Happened::Metadata => "metadata",
        Happened::Replaced => "replaced",
        Happened::Deleted => "deleted",
        Happened::Renamed => "renamed",
        Happened::Conflict => "conflict",
        Happened::Copied => "copied",
        Happened::Agreed => "agreed",
        Happened::Held => "held",
        Happened::Drained => "drained",
        Happened::Discarded => "discarded",
        Happened::Restored => "restored",
        Happened::Locked => "locked",
        Happened::Unlocked => "unlocked",
        Happened::ForcedUnlock => "unlocked by force",
        Happened::Expired => "lock expired",
        Happened::Halted => "halted",
        Happened::Resumed => "resumed",
        Happened::Approved => "approved",
        Happened::Rejected => "rejected",
        Happened::Differed => "differed",
        Happened::Gap => "gap",
    }
}

fn detail(row: &LogRow) -> String {
    let mut parts = Vec::new();
    if let Some(to) = &row.to {
        parts.push(format!("to {to}"));
    }
    match (&row.before, &row.after) {
        _ if row.what == Happened::Renamed => {}
        (None, None) => {}
        (Some(before), None) => parts.push(format!("was {}", version(before))),
        (None, Some(after)) => parts.push(version(after)),
        (Some(before), Some(after)) if before == after => parts.push(version(after)),
        (Some(before), Some(after)) => {
            parts.push(format!("{}, was {}", version(after), version(before)));
        }
    }
    if let Some(side) = row.trash {
        parts.push(format!("kept in {side}'s trash"));
    }
    parts.extend(row.who.iter().map(|who| safe(who)));
    parts.extend(row.detail.iter().map(|detail| safe(detail)));
    parts.join(", ")
}

fn version(version: &Version) -> String {
    let Version { kind, size, digest } = version;
    match (kind, digest) {
        (Kind::File, Some(digest)) => format!("{size} bytes {}", safe(digest)),
        (Kind::File, None) => format!("{size} bytes"),
        (Kind::Link, _) => "a link".to_owned(),
        (Kind::Dir, _) => "a directory".to_owned(),
    }
}
