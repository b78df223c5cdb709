//! Who may do what, with the real programs: ourselves, those who are trusted, and strangers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use common::identity::trusted::Standing;
use common::side::Side;
use common::wire::client::{Answer, Request};
use common::wire::message::{Hello, Reception, ReplicaId, Role};

use crate::fake_a::{Ran, run};
use crate::people::{SERVERS, trust};
use crate::raw::Raw;
use crate::server::Server;
use crate::system::System;
use crate::trees::{put, text};

/// The client with an identity, whoever that is.
fn as_of(system: &System, who: &str, args: &[&str]) -> Ran {
    run(&mut system.client_of(&system.people.place(who), args))
}

/// The command that a refusal says, without the program.
fn advised(line: &str) -> Vec<String> {
    let command = line.split("`lab3 ").nth(1).and_then(|rest| rest.split('`').next());
    command.expect(line).split_whitespace().map(str::to_owned).collect()
}

/// Three programs that are started for the first time, at once, find each other without a word:
/// one key is made, and nobody else may read it.
#[test]
fn programs_of_one_user_need_no_set_up() {
    let system = System::new();
    let home = tempfile::tempdir().expect("a directory");
    let ours = |mut command: Command| {
        command.env_remove("LAB3_IDENTITY").env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        command
    };
    let logs = system.dir.path().join("logs");
    let mut b = Server::spawn(ours(system.command_b()), &logs, "server-b");
    let mut a = Server::spawn(ours(system.command_a()), &logs, "server-a");
    let first = run(&mut ours(system.client("ann", &["id"])));
    b.ready("server-b");
    a.ready("server-a");
    let key = home.path().join(".config/lab3/key");
    let about = fs::metadata(&key).expect("a key");
    assert_eq!(about.mode() & 0o777, 0o600);
    let about = fs::metadata(key.parent().expect("a directory")).expect("a directory");
    assert_eq!(about.mode() & 0o777, 0o700);
    put(&system.a, "f", "x");
    let ran = run(&mut ours(system.client("ann", &["wait"])));
    assert_eq!((ran.code, text(&system.b, "f").as_deref()), (0, Some("x")), "{ran:?}");
    assert_eq!(run(&mut ours(system.client("ann", &["id"]))).out, first.out);
}

/// A stranger gets nothing, both ends say who he is and what could be done, and what is done counts
/// without a restart.
#[test]
fn a_stranger_is_told_what_could_be_done_and_it_counts_at_once() {
    let system = System::holding(&[("secret", "x")]);
    let eve = system.people.identity("eve");
    // She does not know the server.
    let ran = as_of(&system, "eve", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    let words = advised(&ran.err);
    assert_eq!(words[1], system.identity().id().to_string(), "{ran:?}");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(as_of(&system, "eve", &words).code, 0);
    // The server does not know her.
    for args in [&[][..], &["-lock", "secret"], &["status"], &["approve"]] {
        let ran = as_of(&system, "eve", args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}: {ran:?}");
        assert_eq!(advised(&ran.err)[1], eve.id().to_string(), "{ran:?}");
    }
    let said = format!("`lab3 trust {} --role reader`", eve.id());
    system.server(Side::A).says(&said);
    let why =
        Raw::by(&eve, system.port_b).refused(&Hello::new(Role::Coordinator, Some(ReplicaId(7))));
    assert!(why.contains(&format!("`lab3 trust {} --role peer`", eve.id())), "{why}");
    system.server(Side::B).says(&why);
    let words = advised(&said);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(as_of(&system, SERVERS, &words).code, 0);
    let ran = as_of(&system, "eve", &[]);
    assert!(ran.code == 0 && ran.out.contains("secret"), "{ran:?}");
}

/// Readers list and ask, clients change and decide, and only peers synchronize.
#[test]
fn each_role_may_ask_for_what_it_is_for() {
    let system = System::holding(&[("f", "x"), ("g", "x")]);
    fs::remove_file(system.a.join("g")).expect("removed");
    system.agree();
    let asks: [&[&str]; 10] = [
        &[],
        &["locks"],
        &["held"],
        &["status"],
        &["status", "f"],
        &["wait"],
        &["verify"],
        &["log"],
        &["trash"],
        &["conflicts"],
    ];
    let does: [&[&str]; 9] = [
        &["-lock", "f"],
        &["-unlock", "f"],
        &["-unlock", "f", "--force"],
        &["approve"],
        &["reject"],
        &["scrub"],
        &["verify", "--deep"],
        &["trash", "restore", "0"],
        &["conflicts", "resolve", "--all", "--take", "a"],
    ];
    for (who, standing) in
        [("rita", Standing::Reader), ("carl", Standing::Client), ("paul", Standing::Peer)]
    {
        system.people.known(who, standing);
        for args in asks {
            let ran = as_of(&system, who, args);
            assert_eq!(ran.code, 0, "{who} {args:?}: {ran:?}");
        }
        for args in does {
            let ran = as_of(&system, who, args);
            let is_refused = ran.code == 1 && ran.err.contains("this takes the role `client`");
            assert_eq!(is_refused, standing == Standing::Reader, "{who} {args:?}: {ran:?}");
        }
        let raw = Raw::by(&system.people.identity(who), system.port_b);
        let why = raw.refused(&Hello::new(Role::Coordinator, Some(ReplicaId(7))));
        let word = match standing {
            Standing::Peer => "another server A",
            _ => "needs `peer`",
        };
        assert!(why.contains(word), "{who}: {why}");
    }
    assert_eq!(text(&system.a, "f").as_deref(), Some("x"));
}

/// A lock is held by who proved to be there, whatever else is said: by the name that A's user gave
/// him, or else his id; and our own identity's by user and machine, as A knows them.
#[test]
fn a_holder_is_who_proved_to_be_there() {
    let mut system = System::new();
    for name in ["f", "g", "h"] {
        put(&system.a, name, "x");
    }
    system.start_b();
    let mut command = system.command_a();
    command.env("USER", "miller");
    let mut a = Server::spawn(command, &system.dir.path().join("logs"), "server-a");
    a.ready("server-a");
    system.server_a = Some(a);
    system.agree();
    let holder = |name: &str| system.entry(name)["lock"]["holder"].clone();
    let mut command = system.client_of(&system.people.place(SERVERS), &["-lock", "f"]);
    command.env("LAB3_HOLDER", "eve@mill").env("USER", "eve");
    assert_eq!(run(&mut command).code, 0);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(holder("f"), format!("miller@{}", host.trim()));
    assert_eq!(system.lab3_as("bob@mill", &["-lock", "g"]).code, 0);
    assert_eq!(holder("g"), "bob@mill");
    let carl = system.people.identity("carl");
    trust(&system.identity(), carl.id(), Standing::Client, None);
    trust(&carl, system.identity().id(), Standing::Peer, None);
    assert_eq!(as_of(&system, "carl", &["-lock", "h"]).code, 0);
    assert_eq!(holder("h"), carl.id().to_string());
    assert_eq!(as_of(&system, "carl", &["-unlock", "f"]).code, 4);
}

/// What is trusted no longer is closed: a client in the middle of a question, and the link between
/// servers of two users; and with the trust it comes back.
#[test]
fn what_is_trusted_no_longer_is_closed() {
    let mut system = System::new();
    system.identity_b = Some(system.people.known("ben", Standing::Peer));
    system.start();
    put(&system.a, "f", "1");
    system.agree_on(&[("f", "1")]);
    let ben = *system.people.identity("ben").id();
    // Forgotten by A, then by B.
    for (who, whom) in [(SERVERS, ben), ("ben", *system.identity().id())] {
        let grants = fs::read(system.people.place(who).join("trusted")).expect("a file");
        let ran = as_of(&system, who, &["trust", "--remove", &whom.to_string()]);
        assert_eq!(ran.code, 0, "{ran:?}");
        system.b_is("away");
        put(&system.a, "f", format!("while {who} does not trust"));
        let mut waiting = Raw::by(&system.people.identity("ann@mill"), system.port_a);
        waiting.say(&Hello::new(Role::Client, None));
        assert!(matches!(waiting.hear(), Some(Reception::Welcome(_))));
        waiting.say(&Request::Wait { timeout_ms: 100_000 });
        system.ok(&[]);
        let at_b = text(&system.b, "f");
        assert_ne!(at_b, text(&system.a, "f"));
        if who == SERVERS {
            let ran = as_of(&system, who, &["trust", "--remove", "ann@mill"]);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert_eq!(waiting.hear::<Answer>(), None, "it is closed, and nothing is said");
            fs::write(system.people.place(who).join("trusted"), &grants).expect("given back");
        } else {
            fs::write(system.people.place(who).join("trusted"), &grants).expect("given back");
            assert!(matches!(waiting.hear(), Some(Answer::Waited(_))));
        }
        system.agree();
    }
}

/// `lab3 id` and `lab3 trust` need no server; what they cannot do they say, and change nothing.
#[test]
fn trust_is_given_listed_and_taken_away() {
    let system = System::new();
    let ours = |args: &[&str]| as_of(&system, SERVERS, args);
    let id = system.identity().id().to_string();
    assert_eq!(ours(&["id"]).out, format!("{id}\n"));
    assert_eq!(ours(&["id", "--json"]).out, format!("{{\"id\":\"{id}\"}}\n"));
    let [ann, bob] = ["ann", "bob"].map(|who| system.people.identity(who).id().to_string());
    let loose = ann.to_lowercase().replace('-', "");
    let ran = ours(&["trust", &loose, "--name", "ann"]);
    assert!(ran.code == 0 && ran.out.contains("role `client`"), "a client by default: {ran:?}");
    let ran = ours(&["trust", &ann, "--role", "reader"]);
    assert!(ran.code == 0 && ran.out.starts_with("ann "), "the name stays: {ran:?}");
    assert_eq!(ours(&["trust", &bob, "--role", "peer", "--json"]).code, 0);
    let file = system.people.place(SERVERS).join("trusted");
    let before = fs::read_to_string(&file).expect("a file");
    for args in [
        &["trust", &ann[1..]][..],
        &["trust", &ann.replace(&ann[..1], if ann.starts_with('A') { "B" } else { "A" })],
        &["trust", &id],
        &["trust", &bob, "--name", "ann"],
        &["trust", &bob, "--name", "a b"],
        &["trust", &bob, "--name", "\u{1b}[2J"],
        &["trust", "--remove", "carl"],
    ] {
        let ran = ours(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}: {ran:?}");
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), before, "{args:?}");
    }
    for args in [&["trust", &bob, "--role", "own"][..], &["trust", &bob, "--remove", "ann"]] {
        assert_eq!(ours(args).code, 2, "{args:?}");
    }
    let listed = ours(&["trust", "--list"]);
    assert_eq!(listed.out, ours(&["trust"]).out);
    assert!(listed.out.contains(&format!("{ann}  reader  ann\n")), "{listed:?}");
    let json: serde_json::Value =
        serde_json::from_str(&ours(&["trust", "--json"]).out).expect("JSON");
    assert_eq!(json["trusted"][1]["id"], bob);
    assert_eq!(json["trusted"][1]["name"], serde_json::Value::Null);
    assert_eq!(ours(&["trust", "--remove", "ann"]).code, 0);
    assert_eq!(ours(&["trust", "--remove", &bob]).code, 0);
    assert_eq!(ours(&["trust", "--list"]).out.lines().count(), 1);
    fs::write(&file, format!("{before}{bob} reader twice\n")).expect("written");
    let ran = ours(&["trust", &ann]);
    let line = before.lines().count() + 1;
    assert!(ran.code == 1 && ran.err.contains(&format!("line {line}: ")), "{ran:?}");
}

/// A key that others may have read is used by no program, and each says why.
#[test]
fn a_key_that_is_open_to_others_is_used_by_no_program() {
    let system = System::new();
    crate::trees::chmod(&system.people.place(SERVERS), "key", 0o644);
    let is_refused = |code: i32, err: &str| {
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("/key") && err.contains("chmod 600"), "{err}");
    };
    for command in [system.command_a(), system.command_b()] {
        let ran = system.fails(command);
        is_refused(ran.code, &ran.err);
    }
    let ran = as_of(&system, SERVERS, &["id"]);
    is_refused(ran.code, &ran.err);
    assert!(!system.a.join(".lab3").exists() && !system.b.join(".lab3").exists());
}

/// A server that crashes leaves no image of its memory, in which its key would be.
#[test]
fn a_server_leaves_no_image_of_its_memory() {
    let system = System::started();
    for side in Side::BOTH {
        let pid = system.server(side).pid().as_raw_nonzero();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{side}");
    }
}

/// Nothing but the key's own file has the key in it: no log, and nothing that a server keeps.
#[test]
fn nothing_that_is_written_has_the_key_in_it() {
    let mut system = System::new();
    for options in [&mut system.options_a, &mut system.options_b] {
        options.push("-v".into());
    }
    system.start();
    put(&system.a, "f", "x");
    system.agree();
    as_of(&system, "eve", &[]);
    let key = fs::read(system.people.place(SERVERS).join("key")).expect("a key");
    let seed = &key[16..48];
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    fn look(place: &Path, seed: &[u8], hex: &str) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(place).expect("a directory").flatten() {
            if entry.file_type().expect("known").is_dir() {
                files += look(&entry.path(), seed, hex);
            } else if let Ok(bytes) = fs::read(entry.path()) {
                let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
                assert!(!holds(seed) && !holds(hex.as_bytes()), "{}", entry.path().display());
                files += 1;
            }
        }
        files
    }
    assert!(look(system.dir.path(), seed, &hex) > 4);
}
