//! The command line: any arguments are read or refused, and `-lock` means what `lock` means.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use common::time::Timestamp;
use lab3_client::{cli, span};

use crate::fuzzing::Target;

/// Arguments, with a zero byte between any two.
pub(crate) const TARGET: Target = Target { name: "arguments", run, seeds, mutants: 300 };

fn run(bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(span) = span::parse(text) {
            assert!(span::parse_some(text).is_err() || span.as_secs() > 0);
        }
        let _ = Timestamp::parse(text);
    }
    let args = arguments(bytes);
    let line = |args: &[OsString]| {
        let line = std::iter::once(OsString::from("lab3")).chain(args.iter().cloned());
        cli::parse(line).map(|cli| format!("{cli:?}")).map_err(|error| error.kind())
    };
    let read = line(&args);
    if let Err(error) = cli::parse(std::iter::once("lab3".into()).chain(args.iter().cloned())) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
    // The first argument in its other spelling, where that is all there is of it.
    let respelled = |one: &str, other: &str| match args.split_first() {
        Some((first, rest)) if first == one && !rest.iter().any(is_spelled) => {
            let spelled: Vec<OsString> =
                std::iter::once(other.into()).chain(rest.iter().cloned()).collect();
            assert_eq!(line(&spelled), read, "{spelled:?} and {args:?}");
        }
        _ => {}
    };
    for (one, other) in [("lock", "-lock"), ("unlock", "-unlock"), ("-lock", "--lock")] {
        respelled(one, other);
    }
    read.is_ok()
}

/// Whether it may be a spelling of a command, or what follows may be no argument of it.
fn is_spelled(arg: &OsString) -> bool {
    let text = arg.to_string_lossy();
    text.contains("lock") || text == "--"
}

/// The command line of these bytes; no argument of a process has a zero byte.
fn arguments(bytes: &[u8]) -> Vec<OsString> {
    let parts = bytes.split(|byte| *byte == 0).take(12);
    parts.map(|part| OsString::from_vec(part.to_vec())).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    [
        &["-lock", "3", "-m", "editing", "--ttl", "2h"][..],
        &["lock", "--path", "-3"],
        &["-lock=./3"],
        &["--json", "-unlock", "0", "--force", "--keep-a"],
        &["unlock", "a", "--dry-run", "--discard"],
        &["--server", "127.0.0.1:4321", "list"],
        &["locks"],
        &["held", "docs"],
        &["status", "docs/a.txt", "--json"],
        &["wait", "--timeout", "1h30m"],
        &["trash", "list", "docs"],
        &["trash", "restore", "B-01795255800-0123456789abcdef-7", "--to", "x", "--over"],
        &["conflicts", "resolve", "--all", "--take", "newest", "--dry-run"],
        &["verify", "--deep", "--timeout", "500ms"],
        &["log", "a", "--since", "2026-11-21T09:50:00Z", "--limit", "7"],
        &["up", "a", "b"],
        &["approve"],
    ]
    .map(|args| args.join("\0").into_bytes())
    .to_vec()
}
