//! The wall: no other way leads to the disk than handles that cannot leave the root, and no name of
//! a file of ours is made of what somebody else said.
//!
//! What goes to the kernel by itself is named here, call by call, with the reason. Whoever adds a
//! call has to say why it is harmless, in this file.

use std::collections::BTreeMap;

use crate::tidy::{Source, files, none};

/// Files of `common/src/replica/` that call the kernel by themselves, what they call, and why that
/// leads nowhere.
const EXCEPTIONS: [(&str, &[&str], &str); 6] = [
    (
        "claim.rs",
        &[
            "rustix::fs::flock",
            "rustix::fs::fstat",
            "rustix::fs::fsync",
            "rustix::fs::mkdirat",
            "rustix::fs::openat",
            "rustix::fs::renameat",
            "rustix::fs::symlinkat",
            "rustix::fs::unlinkat",
            "std::fs::DirBuilder",
            "std::fs::File",
            "std::fs::read_to_string",
        ],
        "fixed names in `.lab3` and in the state directory, before anybody is connected; never \
         through a link",
    ),
    ("kept.rs", &["std::fs::read_link"], "where an open directory of ours is, for messages"),
    ("life.rs", &[], "the number of the mount on which the root is: one `statx` of its own path"),
    ("place.rs", &["std::fs::read_to_string"], "which boot this is, of `/proc`"),
    ("room.rs", &["rustix::fs::fstatvfs"], "the free space of what is open: it takes no name"),
    ("watch.rs", &["std::fs::read_to_string"], "the kernel's limits for watches, of `/proc`"),
];

/// Calls of the kernel in `disk/real.rs` that take a name, and how often each stands there.
const REAL: [(&str, usize); 17] = [
    // The root itself, by the path that its owner gave.
    ("rustix::fs::open(", 1),
    // Beneath an open directory; with `RESOLVE`.
    ("rustix::fs::openat2(", 1),
    // Of the rest each takes one name in an open directory.
    ("rustix::fs::openat(", 1),
    ("rustix::fs::statat(", 1),
    ("rustix::fs::statx(", 1),
    ("rustix::fs::mkdirat(", 1),
    ("rustix::fs::symlinkat(", 1),
    ("rustix::fs::readlinkat(", 1),
    ("rustix::fs::renameat(", 1),
    ("rustix::fs::renameat_with(", 1),
    ("rustix::fs::linkat(", 1),
    ("rustix::fs::unlinkat(", 2),
    ("rustix::fs::chmodat(", 1),
    ("rustix::fs::utimensat(", 2),
    // A mark gives no access by itself, so its mode is set through its own descriptor.
    ("rustix::fs::chmod(format!(\"/proc/self/fd/{}\"", 1),
    // Whether the root is still where it was.
    ("rustix::fs::stat(", 1),
    ("rustix::fs::chmod(", 1),
];

fn replica() -> Vec<Source> {
    let all = files("common/src/replica", ".rs");
    all.into_iter().filter(|source| !source.path.ends_with("/crash_tests.rs")).collect()
}

fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.code().lines().enumerate();
    lines.map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The names behind these words in a line, with the words.
fn calls(line: &str, words: &str) -> Vec<String> {
    let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let found = line.match_indices(words).map(|(at, _)| {
        let rest = &line[at + words.len()..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        format!("{words}{}", &rest[..end])
    });
    found.collect()
}

/// A name that a file imports from `std::fs` or `rustix::fs` is as good as the path to it, so only
/// types may be imported: `use rustix::fs::{AtFlags, …}`.
fn imports_a_call(line: &str) -> bool {
    let is_use = line.trim_start().starts_with("use ");
    let from = ["std::fs", "rustix::fs", "std::os::unix::fs"].iter().find(|m| line.contains(*m));
    let (true, Some(module)) = (is_use, from) else { return false };
    let names = line.split(module).nth(1).unwrap_or_default();
    let mut names = names.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // `self` brings the module in; a function begins with a small letter.
    names.any(|n| n != "r" && n.starts_with(|c: char| c.is_ascii_lowercase()) && n != "as")
}

#[test]
fn a_replica_has_no_way_to_the_disk_but_its_handles_and_what_is_named_here() {
    let mut complaints = Vec::new();
    for source in replica() {
        let inside = source.path.strip_prefix("common/src/replica/").expect("it is below");
        if inside == "disk/real.rs" {
            continue;
        }
        let exception = EXCEPTIONS.iter().find(|(file, ..)| *file == inside);
        for (i, line) in lines(&source) {
            let is_import = line.trim_start().starts_with("use ");
            if imports_a_call(line) && exception.is_none() {
                complaints.push(format!("{}:{i}: imports a call: {line}", source.path));
            }
            for module in ["std::fs::", "rustix::fs::", "std::os::unix::fs::"] {
                for call in calls(line, module).into_iter().filter(|_| !is_import) {
                    let is_type =
                        call[module.len()..].starts_with(|c: char| c.is_ascii_uppercase());
                    let named = exception.is_some_and(|(_, may, _)| may.contains(&call.as_str()));
                    if !(named || is_type && module == "rustix::fs::") {
                        complaints.push(format!("{}:{i}: calls `{call}`", source.path));
                    }
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn what_is_excepted_is_there() {
    let all: BTreeMap<String, String> =
        replica().into_iter().map(|source| (source.path.clone(), source.text)).collect();
    for (file, calls, why) in EXCEPTIONS {
        let text = &all[&format!("common/src/replica/{file}")];
        assert!(!why.is_empty());
        for call in calls {
            let name = call.rsplit("::").next().expect("a name");
            assert!(text.contains(name), "{file} has no `{call}` any more");
        }
    }
}

#[test]
fn the_handles_take_names_as_they_always_did() {
    let all = replica();
    let real = all.iter().find(|s| s.path.ends_with("disk/real.rs")).expect("it is there");
    for (call, times) in REAL {
        assert_eq!(real.code().matches(call).count(), times, "{call}");
    }
    let flags = ["BENEATH", "NO_SYMLINKS", "NO_MAGICLINKS", "NO_XDEV"];
    for flag in flags {
        assert!(real.code().contains(&format!("ResolveFlags::{flag}")), "{flag}");
    }
    assert!(real.code().contains("flags | OFlags::NOFOLLOW | OFlags::CLOEXEC"));
    // What takes a name takes one that cannot lead elsewhere.
    for (i, line) in lines(real) {
        let takes = REAL[2..14].iter().any(|(call, _)| line.contains(call));
        let single = line.contains("single(") || line.contains("\"\"");
        assert!(!takes || single, "{}:{i}: any name goes to the kernel: {line}", real.path);
    }
}

#[test]
fn whole_paths_are_opened_in_one_place() {
    let mut complaints = Vec::new();
    for source in replica() {
        for (i, line) in lines(&source) {
            let at = |file: &str| source.path == format!("common/src/replica/{file}");
            let allowed = match () {
                () if source.path.starts_with("common/src/replica/disk/") => true,
                () if line.contains("open_beneath(") => at("root.rs") || at("barrier.rs"),
                () if line.contains("open_directory(") || line.contains("stat_path(") => {
                    at("root.rs")
                }
                // The watcher wants a string; a watch at the wrong place is a wrong hint.
                () if line.contains(".entrance()") => at("watch.rs"),
                () => true,
            };
            if !allowed {
                complaints.push(format!("{}:{i}: {line}", source.path));
            }
        }
    }
    none(&complaints);
}

/// A held edit is B's, and its file is ours: of a place in the queue, twenty digits, and an ending.
#[test]
fn no_file_of_ours_is_named_by_what_a_peer_said() {
    let mut complaints = Vec::new();
    let allowed = [
        "self.dir.join(format!(\"{:020}.part\", edit.seq))",
        "self.dir.join(format!(\"{seq:020}.next\"))",
        "dir.join(format!(\"{seq:020}.held\"))",
        "dir.join(format!(\"{:020}.part\", 0))",
        "path.with_extension(\"bad\")",
        "path.with_extension(format!(\"bad-{n}\"))",
    ];
    for source in files("server-a/src/pending", ".rs") {
        for (i, line) in lines(&source) {
            let makes =
                [".join(", ".with_extension(", ".with_file_name(", ".push(", "set_file_name"];
            let makes = makes.iter().any(|call| line.contains(call))
                && !line.contains("edits.push(")
                && !line.contains("bad.push(")
                && !line.contains("problems.push(")
                && !line.contains("foreign.push(")
                && !line.contains("parts.push(")
                && !line.contains("markers.push(");
            if makes && !allowed.iter().any(|call| line.contains(call)) {
                complaints.push(format!("{}:{i}: {line}", source.path));
            }
        }
        if source.code().contains(".create(true)") {
            let marker = source.code().matches(".create(true)").count();
            // The marker has no content: a link in its place would make an empty file.
            if marker > 1 {
                complaints.push(format!("{}: opens what may be there already", source.path));
            }
        }
    }
    none(&complaints);
}
