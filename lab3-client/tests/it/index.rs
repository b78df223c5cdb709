//! An index means the file that was shown, or nothing.

use common::wire::client::{Answer, Generation, Request, State, Target};
use common::wire::message::Role;

use crate::fake_a::{FakeA, GENERATION, Lab3, Step, lock, part, path, row};

/// Lists three files in two parts, and takes every lock.
fn server() -> FakeA {
    FakeA::start(Role::Coordinator, |request| match request {
        Request::List => vec![
            Step::Say(part(vec![row("a", 1, State::Agreed), row("b\nb", 2, State::OnlyA)], false)),
            Step::Say(part(vec![row(b"c\xff", 3, State::Agreed)], true)),
        ],
        Request::Held { .. } => vec![Step::Say(Answer::Held(vec![]))],
        _ => vec![Step::Say(Answer::Locked(lock("a")))],
    })
}

fn target(server: &FakeA) -> Target {
    match server.asked().pop() {
        Some(Request::Lock { target, .. } | Request::Unlock { target, .. }) => target,
        Some(Request::Held { target: Some(target) }) => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_index_is_the_file_of_the_listing_that_was_printed() {
    let server = server();
    let lab3 = Lab3::of(&server.address);
    assert_eq!(lab3.run(&[]).code, 0);
    let shown = |name: &[u8]| Target::Shown { path: path(name), generation: GENERATION };
    for (args, name) in [
        (&["-lock", "0"][..], &b"a"[..]),
        (&["-lock", "-1"], b"b\nb"),
        (&["-lock=2"], b"c\xff"),
        (&["lock", "-2"], b"c\xff"),
        (&["-unlock", "-0"], b"a"),
        (&["held", "1"], b"b\nb"),
        (&["held", "-1"], b"b\nb"),
    ] {
        let ran = lab3.run(args);
        assert_eq!(ran.code, 0, "{args:?} {ran:?}");
        assert_eq!(target(&server), shown(name), "{args:?}");
    }
}

#[test]
fn a_listing_for_programs_counts_as_shown() {
    let server = server();
    let lab3 = Lab3::of(&server.address);
    assert_eq!(lab3.run(&["list", "--json"]).code, 0);
    assert_eq!(lab3.run(&["-lock", "0"]).code, 0);
}

#[test]
fn an_index_before_any_listing_is_refused() {
    let server = server();
    let ran = Lab3::of(&server.address).run(&["-lock", "0"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "lab3: an index means nothing before a listing was printed\nhint: run `lab3` first\n"
    );
    assert!(ran.out.is_empty() && server.asked().is_empty());
}

#[test]
fn an_index_beyond_the_listing_names_the_range() {
    let server = server();
    let lab3 = Lab3::of(&server.address);
    lab3.run(&[]);
    for index in ["3", "-3", "99999999999999999999"] {
        let ran = lab3.run(&["-lock", index]);
        assert_eq!(ran.code, 1, "{index}");
        assert!(ran.err.contains("the last listing has 0 to 2\nhint: "), "{ran:?}");
    }
}

#[test]
fn each_server_has_its_own_listing() {
    let (one, other) = (server(), server());
    let lab3 = Lab3::of(&one.address);
    lab3.run(&[]);
    assert_eq!(lab3.run(&["-lock", "0", "--server", &other.address]).code, 1);
    assert_eq!(lab3.run(&["-lock", "0"]).code, 0);
}

#[test]
fn a_listing_that_broke_leaves_no_index_at_all() {
    let whole = server();
    let lab3 = Lab3::of(&whole.address);
    lab3.run(&[]);
    // The same address cannot be had twice, so the memory is moved to the other server's name.
    let broken = FakeA::start(Role::Coordinator, |_| {
        vec![Step::Say(part(vec![row("z", 1, State::Agreed)], false)), Step::Close]
    });
    let name =
        |address: &str| lab3.cache.path().join(format!("shown-{}", address.replace(':', "%3a")));
    std::fs::rename(name(&whole.address), name(&broken.address)).expect("moved");
    let ran = lab3.run(&["list", "--server", &broken.address]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.contains("  z  "), "what came was printed: {ran:?}");
    let ran = lab3.run(&["-lock", "0", "--server", &broken.address]);
    assert_eq!(ran.code, 1, "neither the old nor half of the new listing counts: {ran:?}");
    let left: Vec<_> = std::fs::read_dir(lab3.cache.path()).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn parts_of_different_generations_are_no_listing() {
    let server = FakeA::start(Role::Coordinator, |_| {
        let first = part(vec![row("a", 1, State::Agreed)], false);
        let mut second = part(vec![row("b", 1, State::Agreed)], true);
        if let Answer::Listing(part) = &mut second {
            part.generation = Generation { number: 43, ..GENERATION };
        }
        vec![Step::Say(first), Step::Say(second)]
    });
    let lab3 = Lab3::of(&server.address);
    assert_eq!(lab3.run(&[]).code, 3);
    assert_eq!(lab3.run(&["-lock", "0"]).code, 1);
}

#[test]
fn a_memory_that_was_cut_short_is_not_believed() {
    let server = server();
    let lab3 = Lab3::of(&server.address);
    lab3.run(&[]);
    let file = std::fs::read_dir(lab3.cache.path()).expect("the folder").next();
    let file = file.expect("one file").expect("a file").path();
    let whole = std::fs::read(&file).expect("readable");
    for end in 0..whole.len() {
        std::fs::write(&file, &whole[..end]).expect("written");
        assert_eq!(lab3.run(&["-lock", "9"]).code, 1, "cut at {end}");
    }
    assert!(server.asked().len() == 1, "nothing but the listing was asked");
}

#[test]
fn a_memory_that_cannot_be_kept_is_said_and_the_listing_still_printed() {
    let server = server();
    let lab3 = Lab3::of(&server.address);
    let mut command = lab3.command(&[]);
    command.env("LAB3_CACHE_DIR", "/dev/null/nowhere");
    let ran = crate::fake_a::run(&mut command);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("index") && ran.err.contains("these indexes cannot be used"));
}

#[test]
fn the_memory_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = server();
    let lab3 = Lab3::of(&server.address);
    let folder = lab3.cache.path().join("state");
    let mut command = lab3.command(&[]);
    command.env_remove("LAB3_CACHE_DIR").env("XDG_STATE_HOME", &folder);
    assert_eq!(crate::fake_a::run(&mut command).code, 0);
    let folder = folder.join("lab3");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    let file = std::fs::read_dir(&folder).expect("the folder").next();
    assert_eq!(mode(&file.expect("one file").expect("a file").path()), 0o600);
}
