//! What a hostile end of a connection says, and how one sees that it did no harm.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::entry::{Entry, File, Link};
use common::path::RelPath;
use common::side::Side;
use common::time::Timestamp;
use common::wire::cbor;
use common::wire::message::{Content, Order, OrderId, PeerMessage};
use serde_bytes::ByteBuf;

use crate::system::System;
use crate::trees::put;

pub(crate) fn path(name: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(name).expect("a path")
}

pub(crate) const WHEN: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 5 };

/// A file with this content and mode.
pub(crate) fn file(content: &[u8], mode: u32) -> Entry {
    let (digest, size) = (Digest::of(content), content.len() as u64);
    Entry::from(File { digest, size, mode, modified: WHEN })
}

pub(crate) fn link_to(target: impl AsRef<[u8]>) -> Entry {
    Entry::from(Link { target: target.as_ref().into(), modified: WHEN })
}

/// An order.
pub(crate) fn commit(
    id: u64,
    name: &str,
    (before, after): (Option<Entry>, Option<Entry>),
    content: Content,
) -> PeerMessage {
    let change = Change { path: path(name), before, after, copy: None };
    let operation = Operation::Change(change);
    PeerMessage::Order(Order::Commit { id: OrderId(id), operation, content })
}

pub(crate) fn inline(content: &[u8]) -> Content {
    Content::Inline(ByteBuf::from(content.to_vec()))
}

pub(crate) fn is_done(outcome: &Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Done { .. }))
}

/// The message with every `from` in it replaced by as many other bytes: what no type of ours lets
/// one say.
pub(crate) fn forged(message: &PeerMessage, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths stay");
    let mut body = cbor::to_vec(message).expect("written");
    let mut at = 0;
    let mut found = false;
    while at + from.len() <= body.len() {
        if &body[at..at + from.len()] == from {
            body[at..at + from.len()].copy_from_slice(to);
            found = true;
        }
        at += 1;
    }
    assert!(found, "it is in the message");
    body
}

/// The permission bits and all others of a mode.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// Something outside of both directories that nobody may touch.
pub(crate) struct Decoy {
    pub(crate) outside: PathBuf,
    before: Vec<(PathBuf, u64, i64, i64, Vec<u8>)>,
}

impl Decoy {
    pub(crate) fn of(system: &System) -> Decoy {
        let outside = system.dir.path().join("outside");
        fs::create_dir(&outside).expect("made");
        for name in ["decoy", "empty", "name"] {
            put(&outside, name, if name == "empty" { "" } else { "decoy" });
        }
        let before = Decoy::look(&outside);
        Decoy { outside, before }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.outside.join("decoy")
    }

    fn look(outside: &Path) -> Vec<(PathBuf, u64, i64, i64, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(outside)
            .expect("a directory")
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let stat = fs::symlink_metadata(&path).expect("it is there");
                let bytes = fs::read(&path).unwrap_or_default();
                (path, stat.ino(), stat.mtime_nsec(), i64::from(stat.mode()), bytes)
            })
            .collect();
        all.sort();
        all
    }

    /// Fails when anything was made, changed or removed.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        assert_eq!(Decoy::look(&self.outside), self.before);
    }
}

/// The most memory that a server has taken, in kilobytes.
pub(crate) fn peak(system: &System, side: Side) -> u64 {
    let pid = system.server(side).pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// Fails when a server ended or spoke of a bug.
#[track_caller]
pub(crate) fn is_well(system: &mut System, side: Side) {
    let slot = match side {
        Side::A => &mut system.server_a,
        Side::B => &mut system.server_b,
    };
    let server = slot.as_mut().expect("it was started");
    assert_eq!(server.has_ended(), None, "server {side} ended");
    let said = server.complained() + &server.said();
    assert!(!said.contains("panicked") && !said.contains("by a bug"), "{said}");
}
