//! Every spelling of the commands, and what server A is asked.

use std::ffi::OsString;

use common::wire::client::{Answer, DrainMode, Request, Target};
use lab3_client::cli::{Command, parse};
use lab3_client::request::DEFAULT_SERVER;

use crate::fake_a::{FakeA, Lab3, path};

fn args(line: &str) -> Vec<OsString> {
    std::iter::once("lab3").chain(line.split_whitespace()).map(OsString::from).collect()
}

/// The request that a command line makes.
fn asked(line: &str) -> Request {
    let server = FakeA::answering(Answer::Done("done".to_owned()));
    let ran = Lab3::of(&server.address).run(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{line}: {ran:?}");
    server.asked().pop().expect("a request")
}

fn lock(name: &str, comment: Option<&str>, ttl_s: Option<u64>) -> Request {
    Request::Lock {
        target: Target::Path(path(name)),
        holder: String::new(),
        comment: comment.map(str::to_owned),
        ttl_s,
    }
}

fn unlock(name: &str, force: bool, mode: DrainMode, dry_run: bool) -> Request {
    let target = Target::Path(path(name));
    Request::Unlock { target, holder: String::new(), force, mode, dry_run }
}

#[test]
fn all_spellings_of_a_lock_ask_the_same() {
    for line in [
        "-lock a.txt",
        "-lock=a.txt",
        "--lock a.txt",
        "--lock=a.txt",
        "lock a.txt",
        "lock ./a.txt",
        "lock --path a.txt",
        "-lock --path=a.txt",
        "--json -lock a.txt",
        "-lock a.txt --json",
    ] {
        assert_eq!(asked(line), lock("a.txt", None, None), "{line}");
    }
    let full = lock("a.txt", Some("why"), Some(7200));
    for line in [
        "-lock a.txt -m why --ttl 2h",
        "-m why -lock a.txt --ttl=7200s",
        "lock --comment why --ttl 1h60m a.txt",
        "-m=why --ttl 120m -lock=a.txt",
    ] {
        assert_eq!(asked(line), full, "{line}");
    }
    assert_eq!(asked("-m list -lock a.txt"), lock("a.txt", Some("list"), None));
}

#[test]
fn a_file_that_is_called_like_an_index_can_be_named() {
    for line in ["-lock ./3", "lock --path 3", "-lock --path=3"] {
        assert_eq!(asked(line), lock("3", None, None), "{line}");
    }
    assert_eq!(asked("lock --path -3"), lock("-3", None, None));
    assert_eq!(asked("lock -- -lock"), lock("-lock", None, None));
}

#[test]
fn all_spellings_of_an_unlock_ask_what_they_say() {
    use DrainMode::{Apply, Discard, KeepA};
    for (line, request) in [
        ("-unlock a.txt", unlock("a.txt", false, Apply, false)),
        ("-unlock=a.txt --force", unlock("a.txt", true, Apply, false)),
        ("--force -unlock a.txt --keep-a", unlock("a.txt", true, KeepA, false)),
        ("unlock a.txt --discard --dry-run", unlock("a.txt", false, Discard, true)),
    ] {
        assert_eq!(asked(line), request, "{line}");
    }
}

#[test]
fn the_other_commands_ask_what_they_say() {
    let held = |name| Request::Held { target: Some(Target::Path(path(name))) };
    for (line, request) in [
        ("locks", Request::Locks),
        ("held", Request::Held { target: None }),
        ("held docs/", held("docs")),
        ("held --path 7", held("7")),
        ("status", Request::Status { path: None }),
        ("status 7", Request::Status { path: Some(path("7")) }),
        ("wait", Request::Wait { timeout_ms: 30_000 }),
        ("wait --timeout 500ms", Request::Wait { timeout_ms: 500 }),
        ("approve", Request::Approve),
        ("reject", Request::Reject),
        ("scrub", Request::Scrub),
    ] {
        assert_eq!(asked(line), request, "{line}");
    }
}

#[test]
fn what_cannot_be_understood_is_a_matter_of_usage() {
    for line in [
        "-lock",
        "lock",
        "unlock",
        "-lock 1 -unlock 1",
        "-lock 1 -lock 2",
        "-lock 1 2",
        "list -lock",
        "held -lock 3",
        "-lokc 3",
        "-lock 3 --path 3",
        "-lock 3 --ttl 0",
        "-lock 3 --ttl soon",
        "-lock 3 --force",
        "-unlock 3 --keep-a --discard",
        "wait --timeout never",
        "3",
        "-3",
        "frobnicate",
        "--server nowhere",
        "--server :1",
        "--server host:99999",
    ] {
        let error = parse(args(line)).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    assert_eq!(Lab3::of("127.0.0.1:1").run(&["-lock", "1", "-unlock", "1"]).code, 2);
}

#[test]
fn nothing_means_list_and_global_options_stand_anywhere() {
    let cli = parse(args("")).expect("nothing");
    assert!(cli.command.is_none() && !cli.json);
    for line in
        ["--server h:1 --json locks", "locks --json --server h:1", "--json locks --server=h:1"]
    {
        let cli = parse(args(line)).expect(line);
        assert!(cli.json && cli.server == "h:1", "{line}");
        assert!(matches!(cli.command, Some(Command::Locks)), "{line}");
    }
    assert_eq!(DEFAULT_SERVER, "127.0.0.1:4320");
}

#[test]
fn the_option_outweighs_the_environment() {
    let server = FakeA::answering(Answer::Done("done".to_owned()));
    let ran = Lab3::of("127.0.0.1:1").run(&["scrub", "--server", &server.address]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "done\n"), "{ran:?}");
}

#[test]
fn running_both_servers_takes_two_directories() {
    assert!(parse(args("up a")).is_err());
    let cli = parse(args("up a b --listen 127.0.0.1:0")).expect("two directories");
    assert!(matches!(cli.command, Some(Command::Up(_))));
}
