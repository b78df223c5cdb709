//! What applications, permissions, clocks and limits do to files.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use common::side::Side;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{self, Node, chmod, put, remove, rename, text};

/// The way of editors: write another file, rename it over the old one, many times, with swap and
/// backup files that come and go (E01-E06).
#[test]
fn saving_by_renaming_over_is_an_edit() {
    let system = System::holding(&[("f", "old"), ("in_place", "old")]);
    for side in Side::BOTH {
        let root = system.root(side);
        for n in 0..50 {
            put(root, ".f.swp", "swap");
            put(root, "4913", "probe");
            remove(root, "4913");
            rename(root, "f", "f~");
            put(root, "f", format!("{side} {n}"));
            remove(root, "f~");
            remove(root, ".f.swp");
            put(root, ".goutputstream", format!("{side} in place {n}"));
            rename(root, ".goutputstream", "in_place");
        }
        let (f, in_place) = (format!("{side} 49"), format!("{side} in place 49"));
        system.agree_on(&[("f", &f), ("in_place", &in_place)]);
    }
}

/// A file that is written for long with one descriptor is followed while it grows (E15, Z09).
#[test]
fn a_log_that_stays_open_is_followed() {
    let system = System::started();
    for side in Side::BOTH {
        let name = format!("log-{side}");
        let (root, other) = (system.root(side), system.root(side.other()));
        let mut log = fs::File::create(root.join(&name)).expect("a file");
        for n in 0..3 {
            writeln!(log, "line {n}").expect("written");
            let last = format!("line {n}\n");
            until("the line", || text(other, &name).is_some_and(|text| text.ends_with(&last)));
        }
        drop(log);
    }
    let nodes = system.agree();
    assert_eq!(nodes.len(), 2, "no copies: {nodes:?}");
}

/// A store through a mapping makes no event but is found by a scan (E16).
#[test]
fn a_store_through_a_mapping_is_found() {
    let system = System::holding(&[("f", &"a".repeat(10_000))]);
    let script = "import mmap,sys\n\
        with open(sys.argv[1], 'r+b') as f:\n\
        \x20m = mmap.mmap(f.fileno(), 0); m[5000:5006] = b'mapped'; m.flush(); m.close()";
    let run = Command::new("python3").args(["-c", script]).arg(system.b.join("f")).status();
    if !run.is_ok_and(|status| status.success()) {
        return skip("a_store_through_a_mapping_is_found", "needs python3");
    }
    system.ok(&["scrub"]);
    until("it is found", || text(&system.a, "f").is_some_and(|text| text.contains("mapped")));
    system.agree();
}

/// An edit of the same size right after the last one, and one that sets the old time again, are
/// edits (T01, T03, T04).
#[test]
fn an_edit_that_keeps_size_and_time_is_an_edit() {
    let system = System::holding(&[("f", "0000")]);
    for (n, side) in Side::BOTH.into_iter().cycle().take(20).enumerate() {
        let root = system.root(side);
        let before = fs::metadata(root.join("f")).expect("metadata").modified().expect("a time");
        let content = format!("{:04}", n + 1);
        put(root, "f", &content);
        if n % 4 > 1 {
            let since = before.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            trees::set_modified(root, "f", since);
        }
        system.agree_on(&[("f", &content)]);
    }
}

/// Times before 1970, after 2038 and far in the future are carried to the nanosecond, and do not
/// make an old edit win over a new one (T05, T06, T09).
#[test]
fn times_of_all_ages_are_carried_exactly() {
    let system = System::started();
    let times: [u64; 3] = [1, 2_147_483_648, 4_102_444_800];
    for (n, seconds) in times.into_iter().enumerate() {
        let name = n.to_string();
        put(&system.a, &name, "x");
        trees::set_modified(&system.a, &name, Duration::new(seconds, 999_999_999));
    }
    let nodes = system.agree();
    for (n, seconds) in times.into_iter().enumerate() {
        let node = &nodes[n.to_string().as_bytes()];
        let wanted = (seconds as i64, 999_999_999);
        assert!(matches!(node, Node::File { modified, .. } if *modified == wanted), "{node:?}");
    }
    put(&system.b, "2", "edited today");
    system.agree();
    assert_eq!(text(&system.a, "2").as_deref(), Some("edited today"));
}

/// Big, empty and sparse files; one byte changed in the middle of a big one (Z01-Z07).
#[test]
fn files_of_all_sizes_are_carried_whole() {
    let system = System::started();
    let mut big = vec![0_u8; 5_000_000];
    for (at, byte) in big.iter_mut().enumerate() {
        *byte = (at * at % 251) as u8;
    }
    for size in [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 1_048_577] {
        put(&system.a, size.to_string(), &big[..size]);
    }
    put(&system.b, "big", &big);
    let sparse = fs::File::create(system.a.join("sparse")).expect("a file");
    sparse.set_len(50_000_000).expect("it is long");
    drop(sparse);
    system.agree();
    for (side, at) in [(Side::A, 2_500_000), (Side::B, 10)] {
        use std::os::unix::fs::FileExt as _;
        let path = system.root(side).join("big");
        let file = fs::File::options().write(true).open(path).expect("a file");
        file.write_all_at(b"changed", at).expect("written");
        drop(file);
        system.agree();
    }
}

/// A directory that may not be read any more is not an empty one: the other side keeps all; so
/// with a file (PM05, PM06, M35).
#[test]
fn what_cannot_be_read_is_not_deleted() {
    if !is_root() {
        return skip("what_cannot_be_read_is_not_deleted", "needs root, to run B as another user");
    }
    let mut system = System::new();
    system.user_b = Some(65_534);
    chmod(system.dir.path(), ".", 0o755);
    std::os::unix::fs::chown(&system.b, Some(65_534), Some(65_534)).expect("given away");
    system.start();
    for name in ["d/1", "d/sub/2", "f", "gone", "other"] {
        put(&system.a, name, name);
    }
    system.agree();
    chmod(&system.b, "d", 0o000);
    chmod(&system.b, "f", 0o000);
    chmod(&system.b, "gone", 0o000);
    put(&system.b, "other", "goes on");
    until("the rest goes on", || text(&system.a, "other").as_deref() == Some("goes on"));
    until("it is listed", || {
        let problems = system.json(&["status"])["problems"].to_string();
        ["d", "f", "gone"].iter().all(|name| problems.contains(&format!("\"path\":\"{name}\"")))
    });
    for name in ["d/1", "d/sub/2", "f"] {
        assert_eq!(text(&system.a, name).as_deref(), Some(name));
    }
    put(&system.a, "f", "edited at a");
    remove(&system.a, "gone");
    let waited = system.lab3(&["wait", "--timeout", "3s"]);
    assert_eq!(waited.code, 5, "{waited:?}");
    assert_eq!(text(&system.a, "f").as_deref(), Some("edited at a"));
    assert_eq!(text(&system.b, "f").as_deref(), Some("f"), "root still reads it");
    assert_eq!(text(&system.b, "gone").as_deref(), Some("gone"), "nobody knows what it is");
    chmod(&system.b, "gone", 0o644);
    chmod(&system.b, "d", 0o755);
    chmod(&system.b, "f", 0o644);
    until("it can be read again", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
    system.agree_on(&[
        ("d/1", "d/1"),
        ("d/sub/2", "d/sub/2"),
        ("f", "edited at a"),
        ("other", "goes on"),
    ]);
}

/// Fifos, sockets and the like are listed and left where they are; what they stand in the way of
/// is not deleted (M31, M32, X01, X02).
#[test]
fn what_is_no_file_is_listed_and_left_alone() {
    let system = System::holding(&[("was_a_file", "x")]);
    let fifo = |name: &str| {
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        let path = system.a.join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a fifo");
    };
    fifo("fifo");
    fifo("another");
    rename(&system.a, "another", "was_a_file");
    let _socket = std::os::unix::net::UnixListener::bind(system.a.join("socket")).expect("bound");
    put(&system.a, "plain", "x");
    until("the rest goes on", || system.b.join("plain").exists());
    until("all are listed", || {
        let problems = system.json(&["status"])["problems"].to_string();
        ["fifo", "socket", "was_a_file"].iter().all(|name| problems.contains(name))
    });
    assert_eq!(text(&system.b, "was_a_file").as_deref(), Some("x"));
    assert!(!system.b.join("fifo").exists() && !system.b.join("socket").exists());
}

/// Out of descriptors is not out of files: nothing is deleted (G05).
#[test]
fn running_out_of_descriptors_deletes_nothing() {
    for side in Side::BOTH {
        let mut system = out_of_descriptors(side);
        system.kill(side);
        system.restart(&[side]);
        whole_again(&system);
    }
}

/// When there are descriptors again, all goes on without a restart (G05).
#[test]
fn with_descriptors_again_all_goes_on() {
    for side in Side::BOTH {
        whole_again(&out_of_descriptors(side));
    }
}

/// A system in which a server had no descriptor to spare while both users worked, and has now.
fn out_of_descriptors(side: Side) -> System {
    let system = System::holding(&[("d/1", "x"), ("d/2", "x"), ("f", "x")]);
    let pid = system.server(side).pid();
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).expect("a list");
    let few = Rlimit { current: Some(open.count() as u64 + 1), maximum: Some(4096) };
    prlimit(Some(pid), Resource::Nofile, few).expect("limited");
    for n in 0..60 {
        put(&system.a, format!("new/{n}/a"), "a");
        put(&system.b, format!("new/{n}/b"), "b");
    }
    chmod(system.root(side), "d", 0o700);
    let _ = system.lab3(&["wait", "--timeout", "2s"]);
    for name in ["d/1", "d/2", "f"] {
        assert!(system.a.join(name).exists() && system.b.join(name).exists(), "{name}");
    }
    let enough = Rlimit { current: Some(4096), maximum: Some(4096) };
    prlimit(Some(pid), Resource::Nofile, enough).expect("limited");
    system
}

#[track_caller]
fn whole_again(system: &System) {
    // What failed is tried again after a while; until then it is named as waiting.
    until("it goes on", || system.lab3(&["wait", "--timeout", "5s"]).code == 0);
    let nodes = system.agree();
    let files = nodes.values().filter(|node| matches!(node, Node::File { .. })).count();
    assert_eq!(files, 3 + 120, "{nodes:?}");
    for side in Side::BOTH {
        let said = system.server(side).said();
        assert!(!said.contains("deleted `"), "{said}");
    }
}

/// Without watches the directories are polled: slower, but nothing is missed, and the status says
/// so with what would help (W08, W09).
#[test]
fn directories_that_cannot_be_watched_are_polled_and_said_so() {
    let mut system = System::new();
    system.options_b = vec!["--watches-max".into(), "2".into()];
    for n in 0..5 {
        put(&system.b, format!("d{n}/f"), "x");
    }
    system.start();
    system.agree();
    let status = system.json(&["status"]);
    assert!(status["watches"]["polled"].as_u64().is_some_and(|count| count >= 3), "{status}");
    assert!(system.ok(&["status"]).contains("degraded"));
    for n in 0..5 {
        put(&system.b, format!("d{n}/f"), "edited");
    }
    let nodes = system.agree();
    let edited =
        nodes.values().filter(|n| matches!(n, Node::File { content, .. } if content == b"edited"));
    assert_eq!(edited.count(), 5, "a barrier looks at what is polled: {nodes:?}");
}
