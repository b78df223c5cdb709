//! What a check of both sides found, in words. Pure.

use std::fmt::Write as _;

use common::wire::verify::{CheckEnd, Verified};

use crate::exit::Exit;
use crate::words::safe;

/// Where the five descriptions of a difference come from.
const PLACES: [&str; 5] = ["at A", "at B", "A's picture of A", "A's picture of B", "archive"];

/// What a check found.
#[must_use]
pub fn verified(found: &Verified) -> String {
    let mut text = match &found.end {
        CheckEnd::Identical { digest, entries } => {
            format!("identical at {digest}, {entries} entries\n")
        }
        CheckEnd::Different => "different\n".to_owned(),
        CheckEnd::Unknown(why) => format!("unknown: {}\n", safe(why)),
    };
    for row in &found.differing {
        let _ = writeln!(text, "differs: `{}`", row.path);
        for (place, what) in PLACES.iter().zip(&row.at) {
            let _ = writeln!(text, "  {place}: {}", safe(what));
        }
    }
    if found.more {
        text.push_str("more may differ\n");
    }
    for row in &found.rotten {
        let detail = safe(&row.detail);
        let _ = writeln!(text, "damaged: `{}` at {}: {detail}", row.path, row.side);
    }
    if let Some(read) = found.read {
        let _ = writeln!(text, "{read} files were read");
    }
    for row in &found.exceptions {
        let side = row.side.map_or_else(String::new, |side| format!(" at {side}"));
        let _ = writeln!(text, "not compared: `{}`{side}: {}", row.path, safe(&row.reason));
    }
    let (count, shown) = (found.exception_count, found.exceptions.len() as u64);
    if count > shown {
        let _ = writeln!(text, "not compared: {count} paths, of which {shown} are shown");
    }
    text
}

/// How the client exits.
#[must_use]
pub fn exit(found: &Verified) -> Exit {
    match found.end {
        _ if !found.rotten.is_empty() => Exit::Refused,
        CheckEnd::Identical { .. } => Exit::Done,
        CheckEnd::Different => Exit::Refused,
        CheckEnd::Unknown(_) => Exit::StillWaiting,
    }
}
