//! Versions in trash and conflict copies, as JSON. The shapes are a contract, as in `json`.

use common::entry::Kind;
use common::side::Side;
use common::wire::client::kept::{ConflictRow, Fate, Resolved, Restored, TrashPart};
use common::wire::client::{Link, Refusal, RefusalKind};
use common::wire::trashed::{TrashId, TrashReason};
use serde::Serialize;

use crate::json::{Name, Waiting, line, time, waiting, word};

#[derive(Serialize)]
struct Trash {
    b: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    b_since: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b_reason: Option<String>,
    trash: Vec<Version>,
    left_out: u64,
}

#[derive(Serialize)]
struct Version {
    index: usize,
    id: String,
    side: Side,
    #[serde(flatten)]
    name: Name,
    size: u64,
    time: String,
    reason: TrashReason,
}

#[derive(Serialize)]
struct Back<'a> {
    restored: At,
    agreed: bool,
    waiting: Vec<Waiting<'a>>,
}

#[derive(Serialize)]
struct At {
    side: Side,
    #[serde(flatten)]
    name: Name,
}

#[derive(Serialize)]
struct Conflicts {
    conflicts: Vec<Conflict>,
}

#[derive(Serialize)]
struct Conflict {
    index: usize,
    #[serde(flatten)]
    name: Name,
    original: Name,
    original_exists: bool,
    side: Side,
    kind: Kind,
    size: u64,
    modified: String,
    edited: bool,
}

#[derive(Serialize)]
struct Settled<'a> {
    dry_run: bool,
    resolved: Vec<Row<'a>>,
    agreed: bool,
    waiting: Vec<Waiting<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    name: Name,
    original: Name,
    fate: &'static str,
    to: Option<Name>,
    refusal: Option<Why<'a>>,
}

#[derive(Serialize)]
struct Why<'a> {
    kind: RefusalKind,
    message: &'a str,
    hint: Option<&'a str>,
}

/// What is in trash.
#[must_use]
pub fn trash(part: &TrashPart) -> String {
    let (b_since, b_reason) = match &part.b {
        Link::Connected => (None, None),
        Link::Away { since, reason } => (Some(time(*since)), Some(reason.clone())),
    };
    let rows = part.rows.iter().enumerate();
    let trash = rows.map(|(index, (side, row))| Version {
        index,
        id: TrashId { side: *side, name: row.name.clone() }.to_string(),
        side: *side,
        name: Name::of(&row.path),
        size: row.size,
        time: row.time.rfc3339(),
        reason: row.reason,
    });
    let trash = trash.collect();
    line(&Trash { b: word(&part.b), b_since, b_reason, trash, left_out: part.left_out })
}

/// A version that is back.
#[must_use]
pub fn restored(restored: &Restored) -> String {
    let at = At { side: restored.side, name: Name::of(&restored.path) };
    let waiting = waiting(&restored.waiting);
    line(&Back { restored: at, agreed: restored.agreed, waiting })
}

/// The conflict copies.
#[must_use]
pub fn conflicts(rows: &[ConflictRow]) -> String {
    let conflict = |(index, row): (usize, &ConflictRow)| Conflict {
        index,
        name: Name::of(&row.path),
        original: Name::of(&row.original),
        original_exists: row.rival.is_some(),
        side: row.side,
        kind: row.kind,
        size: row.size,
        modified: row.modified.rfc3339(),
        edited: row.edited,
    };
    line(&Conflicts { conflicts: rows.iter().enumerate().map(conflict).collect() })
}

/// What became of conflict copies, or would.
#[must_use]
pub fn resolved(resolved: &Resolved) -> String {
    let rows = resolved.rows.iter().map(|row| {
        let (fate, to, refusal) = match &row.fate {
            Fate::TakesName => ("takes_name", None, None),
            Fate::Trashed => ("trashed", None, None),
            Fate::Renamed(kept) => ("renamed", Some(Name::of(kept)), None),
            Fate::Left(Refusal { kind, message, hint }) => {
                ("left", None, Some(Why { kind: *kind, message, hint: hint.as_deref() }))
            }
        };
        let (name, original) = (Name::of(&row.path), Name::of(&row.original));
        Row { name, original, fate, to, refusal }
    });
    let Resolved { dry_run, agreed, .. } = *resolved;
    let waiting = waiting(&resolved.waiting);
    line(&Settled { dry_run, resolved: rows.collect(), agreed, waiting })
}
