//! One message of each sort about what was saved, for the frozen frames.

use common::digest::Digest;
use common::entry::Kind;
use common::path::RelPath;
use common::side::Side;
use common::time::Timestamp;
use common::wire::client::kept::{
    ConflictPart, ConflictRow, Fate, Resolve, Resolved, ResolvedRow, Restore, Restored, Take,
    TrashPart, Which,
};
use common::wire::client::{Answer, Link, Refusal, Request, WaitingRow};
use common::wire::trashed::{TrashId, TrashRow};

const COPY: &str = "report.conflict-B-20261121-095000-d1d1d1d1.txt";

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

pub(crate) fn restore() -> Request {
    let id = TrashId::parse("B-01795255800-0123456789abcdef-7").expect("an id");
    Request::Restore(Restore { id, to: Some(path("old.txt")), over: true })
}

pub(crate) fn resolve() -> Request {
    let digest = Digest([0xd1; 32]);
    let which = Which::Shown { path: path(COPY), digest, rival: Some(Digest([0xd2; 32])) };
    Request::Resolve(Resolve { which, take: Take::Newest, dry_run: true })
}

pub(crate) fn trash(row: TrashRow) -> Answer {
    let rows = vec![(Side::B, row)];
    Answer::Trash(TrashPart { b: Link::Connected, rows, left_out: 1, last: true })
}

pub(crate) fn restored(waits: WaitingRow) -> Answer {
    let path = path("old.txt");
    Answer::Restored(Restored { side: Side::B, path, agreed: false, waiting: vec![waits] })
}

pub(crate) fn conflicts() -> Answer {
    let row = ConflictRow {
        path: path(COPY),
        original: path("report.txt"),
        side: Side::B,
        kind: Kind::File,
        size: 5,
        modified: Timestamp { seconds: 1_795_254_600, nanos: 0 },
        digest: Digest([0xd1; 32]),
        rival: None,
        edited: false,
    };
    Answer::Conflicts(ConflictPart { rows: vec![row], last: true })
}

pub(crate) fn resolved(refusal: Refusal) -> Answer {
    let fates = [
        Fate::TakesName,
        Fate::Trashed,
        Fate::Renamed(path("report.from-b.txt")),
        Fate::Left(refusal),
    ];
    let row = |fate| ResolvedRow { path: path(COPY), original: path("report.txt"), fate };
    let rows = fates.into_iter().map(row).collect();
    Answer::Resolved(Resolved { dry_run: false, rows, agreed: true, waiting: vec![], last: true })
}
