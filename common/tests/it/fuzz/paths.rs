//! Paths and texts that name things: what can be made cannot leave the root, and reads as it is
//! written.

use std::path::{Component, Path};

use common::digest::Digest;
use common::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, RESERVED_NAME};
use common::path::{RelPath, escape};
use common::time::Timestamp;
use common::wire::cbor;
use common::wire::trashed::TrashId;

use crate::fuzzing::Target;

/// Two paths with a zero byte between them; any text.
pub(crate) const TARGET: Target = Target { name: "paths", run, seeds, mutants: 6000 };

fn run(bytes: &[u8]) -> bool {
    let shown = escape(bytes);
    assert!(!shown.chars().any(char::is_control), "nothing that a terminal acts on");
    let text = String::from_utf8_lossy(bytes);
    let read = texts(&text);
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let one = parts.next().map(RelPath::new);
    let other = parts.next().map(RelPath::new);
    let Some(Ok(one)) = one else { return read };
    stays_inside(&one);
    if let Some(Ok(other)) = other {
        stays_inside(&other);
        together(&one, &other);
    }
    true
}

fn stays_inside(path: &RelPath) {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = path.as_bytes();
    assert!(!bytes.is_empty() && bytes.len() <= PATH_BYTES_MAX && !bytes.contains(&0));
    let std = Path::new(std::ffi::OsStr::from_bytes(bytes));
    assert!(std.components().all(|part| matches!(part, Component::Normal(_))), "{path}");
    assert_eq!(std.components().count(), path.components().count(), "{path}");
    assert!(path.components().all(|name| name.len() <= NAME_BYTES_MAX));
    assert_ne!(path.components().next(), Some(RESERVED_NAME));
    let within = RelPath::within(path.parent().as_ref(), path.name());
    assert_eq!(within.as_ref(), Ok(path), "a parent and a name");
    let mut below = path.clone();
    for above in path.ancestors() {
        assert!(path.is_below(&above) && path.touches(&above) && !above.is_below(path));
        assert!(above < below, "a directory comes before what is in it");
        let (low, high) = above.bounds_below();
        assert!(low.as_slice() <= bytes && bytes < high.as_slice());
        below = above;
    }
    let written = cbor::to_vec(path).expect("a path can be written");
    assert_eq!(cbor::from_slice::<RelPath>(&written).as_ref(), Ok(path));
}

fn together(one: &RelPath, other: &RelPath) {
    let (low, high) = other.bounds_below();
    let is_between = low.as_slice() <= one.as_bytes() && one.as_bytes() < high.as_slice();
    assert_eq!(is_between, one.is_below(other), "{one} and {other}");
    assert_eq!(one.touches(other), other.touches(one));
    assert_eq!(escape(one.as_bytes()) == escape(other.as_bytes()), one == other);
    if let Ok(joined) = one.join(other.as_bytes()) {
        assert!(joined.is_below(one));
        let moved = joined.rebase(one, other);
        assert!(moved.is_err() || moved.is_ok_and(|moved| moved.is_below(other)));
    }
}

/// Other short texts that come from outside. Answers whether it was one of them.
fn texts(text: &str) -> bool {
    if let Some(id) = TrashId::parse(text) {
        assert_eq!(TrashId::parse(&id.to_string()), Some(id));
        return true;
    }
    if let Some(digest) = Digest::parse(text) {
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        return true;
    }
    if let Some(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.rfc3339()), Some(time), "{text}");
        let (_, _) = (time.compact(), time.local());
        return true;
    }
    false
}

fn seeds() -> Vec<Vec<u8>> {
    let long = ["x".repeat(NAME_BYTES_MAX), "y".to_owned()].join("/");
    let texts = [
        "a/b/c.txt\0a/b",
        "docs\0docs.old/x",
        "a\0a0",
        "a/.lab3\0.lab4",
        "gr\u{fc}n/\u{202e}x\0b",
        "B-01795255800-0123456789abcdef-7",
        "2026-11-21T09:50:00.123456789Z",
        "2026-11-21T09:50:00+01:00",
        &long,
    ];
    let digest = Digest::of(b"").to_string().into_bytes();
    texts
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([digest, b"\xff\xfe".to_vec()])
        .collect()
}
