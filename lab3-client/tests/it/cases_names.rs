//! Names that look like options, like each other, like ours, or that are as long as they may be.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;

use common::side::Side;

use crate::real::{agree, size};
use crate::server::until;
use crate::system::{System, skip};
use crate::trees::{self, Node, put, put_at, remove, rename, text};

/// Names that another program, another file system, a reader or we ourselves could take for
/// something else.
const TEXTS: &str = concat!(
    // Options, patterns, ends that others cut off, names of devices elsewhere.
    "-/--/-rf/--help/ /trailing /dot./*/?/[a]/~/CON/a:b/$HOME/`id`/#/!/'/\"/\\/\\n/%s/.../..x/\r/",
    // One letter in two spellings, and in two cases.
    "caf\u{e9}/cafe\u{301}/a/A/\u{df}/SS/\u{130}/i\u{307}/",
    // What the eye cannot tell apart.
    "pay/p\u{430}y/pa\u{200b}y/\u{202e}yap/pa\u{ad}y/\u{feff}pay/",
    // What we name our own things like.
    ".lab3x/.lab3ignore~/n-0000/q-1/q-1.intent/cookie-1/stage/trash/store/.lab3-id/",
    // What we name conflict copies like.
    "f.conflict-A-20200101-000000-deadbeef.txt/f.conflict-B-/g.conflict-A-x/",
    "h.conflict-A-20200101-000000-deadbeef.conflict-B-20200101-000000-deadbeef",
);

/// All of them, and the longest that there can be.
fn odd() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = TEXTS.split('/').map(|text| text.as_bytes().to_vec()).collect();
    names.push(vec![b'n'; 255]);
    names.push("\u{1f600}".repeat(63).into_bytes());
    names.push(["\u{1f600}".repeat(63).as_bytes(), b".md"].concat());
    names.push([b"\xff".repeat(251), b".txt".to_vec()].concat());
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "each is another name");
    names
}

/// Every odd name is made, edited, renamed and deleted like any other, in both directions, at the
/// top and below (N04-N06, N09-N12, N16).
#[test]
fn names_that_look_like_something_else_are_names() {
    let system = System::started();
    let names = odd();
    let name = |name: &[u8], top: bool| {
        if top { name.to_vec() } else { [b"in/", name, b"/", name].concat() }
    };
    for (n, odd) in names.iter().enumerate() {
        let root = system.root(if n % 2 == 0 { Side::A } else { Side::B });
        for top in [true, false] {
            put(root, OsStr::from_bytes(&name(odd, top)), odd);
        }
    }
    // What is called like our own directory, but lies elsewhere, is a user's.
    put(&system.a, "sub/.lab3/stage/f", "a user's");
    let of_one = |nodes: &trees::Nodes, odd: &[u8], wanted: &[u8]| {
        [true, false].iter().all(|top| {
            let node = nodes.get(&name(odd, *top));
            matches!(node, Some(Node::File { content, .. }) if content == wanted)
        })
    };
    let nodes = system.agree();
    for odd in &names {
        assert!(of_one(&nodes, odd, odd), "{:?}", OsStr::from_bytes(odd));
    }
    assert_eq!(nodes.len(), 3 * names.len() + 1 + 4, "and nothing else");
    for (n, odd) in names.iter().enumerate() {
        let root = system.root(if n % 2 == 0 { Side::B } else { Side::A });
        for top in [true, false] {
            put(root, OsStr::from_bytes(&name(odd, top)), "edited");
        }
    }
    let nodes = system.agree();
    assert!(names.iter().all(|odd| of_one(&nodes, odd, b"edited")), "{nodes:?}");
    assert_eq!(nodes.len(), 3 * names.len() + 1 + 4);
    rename(&system.b, "in", "renamed");
    for odd in &names {
        fs::remove_file(system.a.join(OsStr::from_bytes(odd))).expect("removed");
    }
    let nodes = system.agree();
    assert_eq!(nodes.len(), 2 * names.len() + 1 + 4);
    assert!(!system.server(Side::A).said().contains("conflict "), "nobody differed");
}

/// In a conflict every name has a copy beside it, the longest too, cut where a character ends; a
/// copy of a copy is another one; what was called like a copy before stays (N05, N06, N12).
#[test]
fn every_name_has_room_for_its_conflict_copy() {
    let mut system = System::started();
    let names = odd();
    let user = "f.conflict-A-20200101-000000-deadbeef.txt";
    for odd in &names {
        put(&system.a, OsStr::from_bytes(odd), "old");
    }
    system.agree();
    system.stop(&Side::BOTH);
    for odd in &names {
        put(&system.a, OsStr::from_bytes(odd), "by a");
        put(&system.b, OsStr::from_bytes(odd), "by b, later");
    }
    system.start();
    let nodes = system.agree();
    assert_eq!(nodes.len(), 2 * names.len(), "one copy each: {:?}", nodes.keys());
    for odd in &names {
        assert!(nodes.contains_key(odd), "{:?}", OsStr::from_bytes(odd));
    }
    let count = |wanted: &str| {
        let is = |node: &&Node| format!("{node:?}").contains(&format!("\"{wanted}\""));
        nodes.values().filter(is).count()
    };
    assert_eq!((count("by a"), count("by b, later")), (names.len(), names.len()));
    for name in nodes.keys().filter(|name| !names.contains(name)) {
        let shown = std::ffi::OsString::from_vec(name.clone());
        assert!(name.len() <= 255, "{shown:?}");
        let is_text = std::str::from_utf8(name).is_ok();
        assert!(is_text || name.contains(&0xff), "cut inside a character: {shown:?}");
    }
    assert!(text(&system.a, user).is_some());
}

/// Thousands of names that differ in their last bytes only (N13).
#[test]
fn names_with_a_long_common_beginning_are_told_apart() {
    let count = size(600, 9_999);
    let mut system = System::new().relaxed().losing_up_to(count);
    system.start();
    let name = |n: usize| format!("d/{}{n:05}", "n".repeat(250));
    for n in 0..count {
        put(&system.a, name(n), n.to_string());
    }
    agree(&system);
    for n in (0..count).step_by(3) {
        put(&system.b, name(n), format!("edited {n}"));
        remove(&system.a, &name(n + 1));
    }
    agree(&system);
    assert_eq!(text(&system.a, &name(3)).as_deref(), Some("edited 3"));
    assert_eq!(text(&system.b, &name(4)), None);
    assert_eq!(text(&system.b, &name(5)).as_deref(), Some("5"));
}

/// A name that the other side's file system does not take is named with its reason and kept where
/// it is, with all that is in a directory of that name; the rest goes on; under a name that fits it
/// arrives (N14).
#[test]
fn a_name_too_long_for_the_other_side_is_named_and_kept() {
    const LONG: &str = "too-long-for-the-other-side";
    let test = "a_name_too_long_for_the_other_side_is_named_and_kept";
    // Every rename to that name fails as it would there.
    let tracing = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", LONG];
    let renames = ["-e", "inject=renameat2,renameat,rename:error=ENAMETOOLONG"];
    let can =
        std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return skip(test, "needs strace");
    }
    for (here, there) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let mut system = System::new();
        system.through[there] = tracing.iter().chain(&renames).map(ToString::to_string).collect();
        system.start();
        let (root, other) = (system.root(here), system.root(there));
        put(root, LONG, "x");
        put(root, format!("d/{LONG}/f"), "in a directory");
        put(root, "d/other", "y");
        until("the rest goes on", || text(other, "d/other").is_some());
        until("both are named", || {
            let named = system.named();
            [LONG.to_owned(), format!("d/{LONG}")]
                .iter()
                .all(|path| named.get(path).is_some_and(|why| why.contains("name too long")))
        });
        assert_eq!(text(root, LONG).as_deref(), Some("x"));
        assert!(!other.join(LONG).exists() && !other.join("d").join(LONG).exists());
        assert_eq!(system.lab3(&["wait", "--timeout", "1s"]).code, 5);
        rename(root, LONG, "short");
        rename(root, &format!("d/{LONG}"), "d/short");
        until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
        system.agree_on(&[("d/other", "y"), ("d/short/f", "in a directory"), ("short", "x")]);
    }
}

/// A path as long as the kernel takes one from a program, and one byte around it: made, edited,
/// in conflict, deleted (N07).
#[test]
fn the_longest_path_that_programs_can_name_is_nothing_special() {
    let mut system = System::holding(&[("beside", "x")]);
    let above = system.a.as_os_str().len() + 1;
    let mut deep = String::new();
    while above + deep.len() + 251 < 4095 - 300 {
        deep.push_str(&"d".repeat(250));
        deep.push('/');
    }
    let names: Vec<String> = [4093, 4094, 4095 - 1]
        .into_iter()
        .map(|total: usize| {
            let left = total - above - deep.len();
            let (dir, leaf) = (left / 2, left - left / 2 - 1);
            format!("{deep}{}/{}", "e".repeat(dir), "f".repeat(leaf))
        })
        .collect();
    for side in [Side::A, Side::B] {
        for name in &names[..2] {
            put(system.root(side), name, format!("by {side}"));
        }
        system.agree();
        assert_eq!(text(system.root(side.other()), &names[1]), Some(format!("by {side}")));
    }
    system.stop(&Side::BOTH);
    put_at(&system.a, &names[0], "mine", 1_700_000_000);
    put_at(&system.b, &names[0], "yours", 1_600_000_000);
    system.start();
    system.wait();
    assert_eq!(text(&system.b, &names[0]).as_deref(), Some("mine"));
    let copies = walk(&system.b).into_iter().filter(|name| name.contains(".conflict-B-")).count();
    assert_eq!(copies, 1, "{:?}", walk(&system.b));
    for name in &names[..2] {
        remove(&system.b, name);
    }
    system.wait();
    assert!(names.iter().all(|name| text(&system.a, name).is_none()));
}

/// All paths, also those that are too long to be opened by their name.
fn walk(root: &std::path::Path) -> Vec<String> {
    let found = std::process::Command::new("find")
        .current_dir(root)
        .args([".", "-path", "./.lab3", "-prune", "-o", "-print"])
        .output()
        .expect("find runs");
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}
