//! Answers of server A as JSON. The shapes are a contract, written down in `docs/protocol.md`.
//!
//! A name that is UTF-8 is in `path` as it is. Any other is escaped there, and exact, in base64,
//! in `path_bytes`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::entry::Kind;
use common::path::{RelPath, inert_json};
use common::side::Side;
use common::time::Timestamp;
use common::wire::client::timed::Trace;
use common::wire::client::{
    DrainMode, Generation, HeldOp, HeldRow, Link, ListingRow, LockRow, PathStatus, ProblemRow,
    Receipt, State, Status, Waited, WaitingRow,
};
use common::wire::log::{LogPart, LogRow, Version};
use common::wire::message::Condition;
use common::wire::verify::{CheckEnd, Verified};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::status::halted;

/// A name, exact for programs.
#[derive(Serialize)]
pub(crate) struct Name {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
}

impl Name {
    pub(crate) fn of(path: &RelPath) -> Name {
        match std::str::from_utf8(path.as_bytes()) {
            Ok(text) => Name { path: text.to_owned(), path_bytes: None },
            Err(_) => {
                let bytes = STANDARD.encode(path.as_bytes());
                Name { path: path.to_string(), path_bytes: Some(bytes) }
            }
        }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    index: u64,
    #[serde(flatten)]
    name: Name,
    kind: Kind,
    size: u64,
    modified: String,
    state: State,
    lock: Option<Lock<'a>>,
    held: u64,
}

#[derive(Serialize)]
struct Lock<'a> {
    id: u64,
    #[serde(flatten)]
    name: Name,
    holder: &'a str,
    since: String,
    comment: Option<&'a str>,
    expires: Option<String>,
    held: u64,
}

impl Lock<'_> {
    fn of(lock: &LockRow) -> Lock<'_> {
        Lock {
            id: lock.id,
            name: Name::of(&lock.path),
            holder: &lock.holder,
            since: lock.since.rfc3339(),
            comment: lock.comment.as_deref(),
            expires: time(lock.expires),
            held: lock.held,
        }
    }
}

#[derive(Serialize)]
struct Held {
    seq: u64,
    #[serde(flatten)]
    name: Name,
    op: HeldOp,
    size: u64,
    time: String,
}

impl Held {
    fn of(edit: &HeldRow) -> Held {
        let HeldRow { seq, path, op, size, time } = edit;
        Held { seq: *seq, name: Name::of(path), op: *op, size: *size, time: time.rfc3339() }
    }
}

/// Something that waits.
#[derive(Serialize)]
pub(crate) struct Waiting<'a> {
    #[serde(flatten)]
    name: Name,
    side: Option<Side>,
    reason: &'a str,
    since: String,
    next_try: Option<String>,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(flatten)]
    name: Name,
    side: Side,
    detail: &'a str,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    name: Name,
    dry_run: bool,
    mode: DrainMode,
    applied: Vec<Held>,
    discarded: u64,
    conflicts: Vec<Name>,
    agreed: bool,
    waiting: Vec<Waiting<'a>>,
}

/// The beginning of a listing, up to its first entry.
#[must_use]
pub fn listing_head(generation: Generation, b: &Link) -> String {
    let generation = format!("{}-{}", generation.epoch, generation.number);
    let (generation, b_word) = (Value::from(generation), Value::from(word(b)));
    let mut head = format!("{{\"generation\":{generation},\"b\":{b_word}");
    if let Link::Away { since, reason } = b {
        let (since, reason) = (Value::from(time(*since)), Value::from(reason.as_str()));
        head.push_str(&format!(",\"b_since\":{since},\"b_reason\":{reason}"));
    }
    head + ",\"entries\":["
}

/// An entry of a listing.
#[must_use]
pub fn listing_entry(index: u64, row: &ListingRow) -> String {
    text(&Entry {
        index,
        name: Name::of(&row.path),
        kind: row.kind,
        size: row.size,
        modified: row.modified.rfc3339(),
        state: row.state,
        lock: row.lock.as_ref().map(Lock::of),
        held: row.held,
    })
}

/// The end of a listing.
pub const LISTING_END: &str = "]}\n";

/// A lock that was taken.
#[must_use]
pub fn locked(lock: &LockRow) -> String {
    line(&BTreeMap::from([("locked", Lock::of(lock))]))
}

/// All locks.
#[must_use]
pub fn locks(rows: &[LockRow]) -> String {
    let locks: Vec<_> = rows.iter().map(Lock::of).collect();
    line(&BTreeMap::from([("locks", locks)]))
}

/// Held edits.
#[must_use]
pub fn held(rows: &[HeldRow]) -> String {
    let held: Vec<_> = rows.iter().map(Held::of).collect();
    line(&BTreeMap::from([("held", held)]))
}

/// What an unlock did, or would do.
#[must_use]
pub fn receipt(receipt: &Receipt) -> String {
    line(&Report {
        name: Name::of(&receipt.path),
        dry_run: receipt.dry_run,
        mode: receipt.mode,
        applied: receipt.applied.iter().map(Held::of).collect(),
        discarded: receipt.discarded,
        conflicts: receipt.conflicts.iter().map(Name::of).collect(),
        agreed: receipt.agreed,
        waiting: waiting(&receipt.waiting),
    })
}

/// How the system does.
#[must_use]
pub fn status(status: &Status) -> String {
    let Status { side_a: a, side_b: b, .. } = status;
    line(&json!({
        "version": status.version,
        "halted": halted(status),
        "b": word(&status.b),
        "b_since": match &status.b { Link::Away { since, .. } => time(*since), _ => None },
        "b_reason": match &status.b { Link::Away { reason, .. } => Some(reason), _ => None },
        "watches": {
            "watched": a.watched + b.watched,
            "polled": a.polled + b.polled,
            "unwatched": a.unwatched + b.unwatched,
        },
        "known": { "a": status.known.0, "b": status.known.1 },
        "agreed": status.agreed,
        "in_flight": status.in_flight,
        "waiting_count": status.waiting_count,
        "waiting": waiting(&status.waiting),
        "problem_count": status.problem_count,
        "problems": problems(&status.problems),
        "locks": status.locks,
        "held": status.held.0,
        "held_bytes": status.held.1,
        "checked": status.checked.as_ref().map(|last| json!({
            "time": last.time.rfc3339(), "found": last.found, "identical": last.identical,
        })),
        "journal": status.journal,
        "speed": { "a_to_b": speed(status, Side::A), "b_to_a": speed(status, Side::B) },
        "side_a": side(a),
        "side_b": side(b),
    }))
}

/// How fast the edits of a side travelled, in microseconds.
fn speed(status: &Status, from: Side) -> Option<Value> {
    let speed = status.speed.iter().find(|speed| speed.from == from)?;
    let mut stages = json!(speed.stages);
    stages["agreed"] = json!(speed.agreed);
    Some(json!({
        "stages": stages,
        "seen_to_visible": speed.seen_to_visible,
        "seen_to_agreed": speed.seen_to_agreed,
    }))
}

/// How one edit travelled, in microseconds.
fn trace(trace: &Trace) -> Value {
    let mut stages = json!(trace.stages);
    stages["agreed"] = json!(trace.agreed);
    json!({
        "from": trace.from,
        "time": trace.time.rfc3339(),
        "stages": stages,
        "seen_to_visible": trace.stages.until_visible(),
        "seen_to_agreed": trace.until_agreed(),
    })
}

/// How a path does.
#[must_use]
pub fn path_status(status: &PathStatus) -> String {
    let name = Name::of(&status.path);
    let mut value = json!({
        "path": name.path,
        "a": status.at[0],
        "b": status.at[1],
        "archive": status.at[2],
        "state": status.state,
        "lock": status.lock.as_ref().map(Lock::of),
        "held": status.held,
        "waiting": waiting(&status.waiting),
        "problems": problems(&status.problems),
        "last_edit": status.last_edit.as_deref().map(trace),
    });
    if let Some(bytes) = name.path_bytes {
        value["path_bytes"] = Value::from(bytes);
    }
    line(&value)
}

/// The end of a wait.
#[must_use]
pub fn waited(waited: &Waited) -> String {
    let (done, timed_out, reason, rows) = match waited {
        Waited::Done => (true, false, None, Vec::new()),
        Waited::Waiting { timed_out, reason, waiting: rows } => {
            (false, *timed_out, reason.as_deref(), waiting(rows))
        }
    };
    line(&json!({ "done": done, "timed_out": timed_out, "reason": reason, "waiting": rows }))
}

/// What a check found.
#[must_use]
pub fn verified(found: &Verified) -> String {
    let (result, digest, entries, reason) = match &found.end {
        CheckEnd::Identical { digest, entries } => {
            ("identical", Some(digest.to_string()), Some(*entries), None)
        }
        CheckEnd::Different => ("different", None, None, None),
        CheckEnd::Unknown(why) => ("unknown", None, None, Some(why.as_str())),
    };
    let differing = found.differing.iter().map(|row| {
        let at = |place: usize| row.at[place].clone();
        let (a_known, b_known, archive) = (at(2), at(3), at(4));
        named(
            &row.path,
            json!({ "a": at(0), "b": at(1), "a_known": a_known,
            "b_known": b_known, "archive": archive }),
        )
    });
    let exceptions = found.exceptions.iter();
    let exceptions =
        exceptions.map(|row| named(&row.path, json!({ "side": row.side, "reason": row.reason })));
    let rotten = found.rotten.iter();
    let rotten =
        rotten.map(|row| named(&row.path, json!({ "side": row.side, "detail": row.detail })));
    line(&json!({
        "result": result,
        "digest": digest,
        "entries": entries,
        "reason": reason,
        "time": found.time.rfc3339(),
        "differing": differing.collect::<Vec<_>>(),
        "more": found.more,
        "exceptions": exceptions.collect::<Vec<_>>(),
        "exception_count": found.exception_count,
        "rotten": rotten.collect::<Vec<_>>(),
        "read": found.read,
    }))
}

/// What happened.
#[must_use]
pub fn log(part: &LogPart) -> String {
    let version = |version: &Option<Version>| {
        version.as_ref().map(|v| json!({ "kind": v.kind, "size": v.size, "digest": v.digest }))
    };
    let row = |row: &LogRow| {
        let value = json!({
            "seq": row.seq,
            "time": row.time.rfc3339(),
            "what": row.what,
            "to": row.to.as_ref().map(|to| named(to, json!({}))),
            "by": row.by,
            "carried": row.carried,
            "before": version(&row.before),
            "after": version(&row.after),
            "trash": row.trash,
            "who": row.who,
            "detail": row.detail,
        });
        match &row.path {
            Some(path) => named(path, value),
            None => value,
        }
    };
    let rows: Vec<Value> = part.rows.iter().map(row).collect();
    line(&json!({ "log": rows, "more": part.more, "problem": part.problem }))
}

/// A value with the name of what it is about.
fn named(path: &RelPath, mut value: Value) -> Value {
    let name = Name::of(path);
    value["path"] = Value::from(name.path);
    if let Some(bytes) = name.path_bytes {
        value["path_bytes"] = Value::from(bytes);
    }
    value
}

/// A command that was carried out.
#[must_use]
pub fn done(text: &str) -> String {
    line(&json!({ "done": text }))
}

/// A command that was not.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    let Failure { message, hint, .. } = failure;
    line(&json!({ "error": { "kind": failure.kind(), "message": message, "hint": hint } }))
}

fn side(condition: &Condition) -> Value {
    json!({
        "halted": condition.halted,
        "watched": condition.watched,
        "polled": condition.polled,
        "unwatched": condition.unwatched,
        "watch_hint": condition.watch_hint,
        "scrubs": condition.scrubs,
        "scrub_found": condition.scrub_found,
        "lacks": condition.lacks,
        "linked_outside": condition.linked_outside.iter().map(Name::of).collect::<Vec<_>>(),
        "unsettled": condition.unsettled,
    })
}

pub(crate) fn waiting(rows: &[WaitingRow]) -> Vec<Waiting<'_>> {
    let mut all = Vec::new();
    for row in rows {
        let WaitingRow { path, side, reason, since, next_try } = row;
        let (since, next_try) = (since.rfc3339(), time(*next_try));
        all.push(Waiting { name: Name::of(path), side: *side, reason, since, next_try });
    }
    all
}

fn problems(rows: &[ProblemRow]) -> Vec<Problem<'_>> {
    let mut all = Vec::new();
    for row in rows {
        all.push(Problem { name: Name::of(&row.path), side: row.side, detail: &row.detail });
    }
    all
}

pub(crate) fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.rfc3339())
}

pub(crate) fn word(b: &Link) -> &'static str {
    match b {
        Link::Connected => "connected",
        Link::Away { .. } => "away",
    }
}

fn text<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_string(value);
    inert_json(&json.expect("text keys and plain values can always be written"))
}

pub(crate) fn line<T: Serialize>(value: &T) -> String {
    text(value) + "\n"
}
