//! Links of every kind are copied as links; nothing behind them is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use common::side::Side;

use crate::system::System;
use crate::trees::{self, Node, link, put, remove, rename, text};

/// Targets of every kind, made and turned: relative, absolute, to nothing, to itself, to its own
/// directory, no text, and of the greatest length (S01-S07, S09).
#[test]
fn links_with_targets_of_every_kind_are_made_and_turned() {
    let system = System::started();
    let long = "t".repeat(4095);
    let targets: [(&str, &[u8]); 8] = [
        ("absolute", b"/etc/passwd"),
        ("dangling", b"nowhere/at/all"),
        ("itself", b"itself"),
        ("long", long.as_bytes()),
        ("odd", b"\xff\xfe/\x1b[31m\n"),
        ("parent", b".."),
        ("relative", b"real/f"),
        ("space", b" "),
    ];
    put(&system.a, "real/f", "x");
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        for (name, target) in targets {
            let name = format!("{here}-{name}");
            link(system.root(here), OsStr::from_bytes(target), &name);
        }
        let nodes = system.agree();
        for (name, target) in targets {
            let found = nodes.get(format!("{here}-{name}").as_bytes());
            assert_eq!(found, Some(&Node::Link { target: target.to_vec() }), "{name}");
        }
        // Turned on the other side, by renaming another link over them.
        for (name, _) in targets {
            let root = system.root(there);
            link(root, "turned", "aside");
            rename(root, "aside", &format!("{here}-{name}"));
        }
        let nodes = system.agree();
        let turned = Node::Link { target: b"turned".to_vec() };
        for (name, _) in targets {
            assert_eq!(nodes.get(format!("{here}-{name}").as_bytes()), Some(&turned), "{name}");
        }
    }
    assert!(!system.server(Side::A).said().contains("conflict"));
}

/// A name that is a link, a file, a directory and a link again, faster than anybody looks (S10).
#[test]
fn a_name_that_changes_its_kind_in_a_burst_ends_as_it_ended() {
    let system = System::holding(&[("beside", "x")]);
    for (n, side) in Side::BOTH.into_iter().cycle().take(8).enumerate() {
        let root = system.root(side);
        let last = if n % 3 == 0 { "one" } else { "two" };
        for _ in 0..5 {
            if fs::symlink_metadata(root.join("x")).is_ok() {
                remove(root, "x");
            }
            link(root, "one", "x");
            remove(root, "x");
            put(root, "x", "a file");
            remove(root, "x");
            put(root, "x/in/it", "a directory");
            remove(root, "x");
            link(root, last, "x");
        }
        let nodes = system.agree();
        let wanted = Node::Link { target: last.into() };
        assert_eq!(nodes.get(b"x".as_slice()), Some(&wanted), "round {n}");
        assert_eq!(nodes.len(), 2, "{nodes:?}");
    }
}

/// A directory with files here, and a link that leads out there: both are kept, and nothing behind
/// the link is touched, whoever was first (S11, S08).
#[test]
fn a_link_out_where_the_other_side_has_a_directory_is_set_aside_and_not_followed() {
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let mut system = System::holding(&[("known/f", "old"), ("beside", "x")]);
        let outside = system.dir.path().join("outside");
        put(&outside, "f", "decoy");
        system.stop(&Side::BOTH);
        put(system.root(here), "new/f", "mine");
        put(system.root(here), "known/f", "edited");
        link(system.root(there), &outside, "new");
        remove(system.root(there), "known");
        link(system.root(there), &outside, "known");
        system.start();
        let nodes = system.agree();
        let links = nodes.values().filter(|node| matches!(node, Node::Link { .. })).count();
        assert_eq!(links, 2, "both links are somewhere: {nodes:?}");
        let texts = format!("{nodes:?}");
        assert!(texts.contains("\"mine\"") && texts.contains("\"edited\""), "{texts}");
        let decoys = trees::read(&outside);
        assert_eq!(decoys.len(), 1, "{decoys:?}");
        assert_eq!(text(&outside, "f").as_deref(), Some("decoy"));
    }
}
