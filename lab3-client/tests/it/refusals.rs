//! What a server cannot work with: it says what, why and what to do, and changes nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::side::Side;

use crate::fake_a::Ran;
use crate::raw::Raw;
use crate::server::{Port, binary};
use crate::system::{System, is_root, skip};
use crate::trees::{self, put, text};

#[track_caller]
fn gives_up(ran: &Ran, program: &str, words: &[&str]) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.starts_with(&format!("{program}: ")), "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in {ran:?}");
    }
}

/// A directory that is not there, or is none, is named.
#[test]
fn a_directory_that_is_none_is_refused() {
    let mut system = System::new();
    let file = system.dir.path().join("file");
    fs::write(&file, "x").expect("written");
    for (bad, why) in [(system.dir.path().join("nowhere"), "does not exist"), (file, "directory")] {
        let name = bad.display().to_string();
        (system.a, system.b) = (bad.clone(), bad);
        gives_up(&system.fails(system.command_a()), "server-a", &[&name, why]);
        gives_up(&system.fails(system.command_b()), "server-b", &[&name, why]);
    }
    let missing = system.dir.path().join("nowhere");
    assert!(!missing.exists(), "a directory that is missing is not made");
}

/// A directory that may not be read is refused, and not taken for an empty one.
#[test]
fn a_directory_that_cannot_be_read_is_refused() {
    if !is_root() {
        return skip("a_directory_that_cannot_be_read_is_refused", "needs root");
    }
    let mut system = System::new();
    system.user_b = Some(65_534);
    trees::chmod(system.dir.path(), ".", 0o755);
    trees::chmod(&system.b, ".", 0o700);
    let name = system.b.display().to_string();
    let ran = system.fails(system.command_b());
    gives_up(&ran, "server-b", &[&name, "ermission denied"]);
}

/// One directory has one server; the second is told which process has it (A09).
#[test]
fn a_second_server_on_one_directory_is_refused_with_the_pid_of_the_first() {
    let system = System::started();
    let mut second = System::new();
    (second.a, second.b) = (system.a.clone(), system.b.clone());
    let pid = |side| format!("{}", system.server(side).pid().as_raw_nonzero());
    for (program, side, command) in
        [("server-a", Side::A, second.command_a()), ("server-b", Side::B, second.command_b())]
    {
        gives_up(&second.fails(command), program, &["in use", &pid(side), "hint: "]);
    }
    put(&system.a, "f", "x");
    system.agree_on(&[("f", "x")]);
}

/// One directory for both sides, or one inside the other, would be copied into itself for ever.
/// Both servers refuse that in words, and go on; with another directory they are joined.
#[test]
fn a_directory_is_not_synchronized_with_itself_or_what_is_in_it() {
    let cases =
        [("a", "a/inner", "holds", "lies inside"), ("b/inner", "b", "lies inside", "holds")];
    for (a, b, of_a, of_b) in cases {
        let mut system = System::new();
        let right = system.dir.path().join("elsewhere");
        fs::create_dir(&right).expect("a directory");
        put(&system.dir.path().join(a), "f", "x");
        (system.a, system.b) = (system.dir.path().join(a), system.dir.path().join(b));
        fs::create_dir_all(&system.b).expect("a directory");
        let words = |root: &Path, how: &str| {
            let root = root.display();
            format!("`{root}` {how} the directory of the other server: give one of the two another")
        };
        gives_up(&system.fails(up(&system)), "lab3", &[&words(&system.a, of_a)]);
        system.start_b();
        system.start_a();
        let why = words(&system.b, of_b);
        crate::server::until("the status says it", || {
            system.json(&["status"])["b_reason"].as_str().is_some_and(|said| said.contains(&why))
        });
        assert!(system.ok(&["status"]).contains(&why));
        system.server(Side::B).says(&why);
        // A goes on with what does not need B.
        put(&system.a, "g", "x");
        system.ok(&["-lock", "g"]);
        for path in ["a/inner/f", "a/inner/g", "b/f", "b/g"] {
            assert!(!system.dir.path().join(path).exists(), "{path}");
        }
        system.stop(&[Side::B]);
        system.b = right;
        system.start_b();
        if a == "a" {
            // What stood inside is a directory like any other, but for what is ours in it.
            system.ok(&["-unlock", "g"]);
            crate::server::until("they are joined", || text(&system.b, "g").is_some());
        } else {
            system.agree_on(&[("f", "x"), ("g", "x")]);
        }
    }
    // The same directory has one server at most.
    let mut system = System::started();
    system.b = system.a.clone();
    gives_up(&system.fails(system.command_b()), "server-b", &["in use"]);
    gives_up(&system.fails(up(&system)), "lab3", &["is the directory of the other server, too"]);
}

/// Both servers in one process, on these directories.
fn up(system: &System) -> Command {
    let mut command = Command::new(binary("lab3"));
    command.arg("up").arg(&system.a).arg(&system.b).args(["--listen", "127.0.0.1:0"]);
    system.at_home(&mut command, &system.people.place("up"));
    command
}

/// A port that another process has is named.
#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut system = System::new();
    let port = taken.local_addr().expect("an address").port();
    (system.port_a, system.port_b) = (port, port);
    let address = format!("127.0.0.1:{port}");
    let words = [address.as_str(), "in use", "--listen"];
    gives_up(&system.fails(system.command_a()), "server-a", &words);
    gives_up(&system.fails(system.command_b()), "server-b", &words);
}

/// Whoever listens where B should is named by what he says; A goes on, and finds B later (F14).
#[test]
fn a_peer_that_speaks_something_else_is_named_and_b_is_found_later() {
    let mut system = System::new();
    put(&system.a, "f", "x");
    let port = Port::free();
    system.port_b = port.number;
    system.peer = system.port_b;
    let stranger = TcpListener::bind(("127.0.0.1", system.port_b)).expect("a port");
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let talk = std::thread::spawn(move || {
        let answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b"SSH-2.0-x\r\n"];
        while let Some(answer) = answers.get(count.load(Ordering::SeqCst)) {
            let (mut stream, _) = stranger.accept().expect("A dials");
            stream.write_all(answer).expect("written");
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    system.start_a();
    for word in ["HTTP", "SSH"] {
        crate::server::until(word, || {
            let status = system.json(&["status"]);
            status["b_reason"].as_str().is_some_and(|why| why.contains(word))
        });
        heard.fetch_add(1, Ordering::SeqCst);
    }
    // It may be waiting for A to dial once more.
    talk.join().expect("it said both");
    system.start_b();
    system.agree_on(&[("f", "x")]);
}

/// Another version of the protocol is refused on both ends, in words (F14).
#[test]
fn a_peer_of_another_version_is_refused_in_words() {
    use common::wire::cbor;
    use common::wire::message::{Hello, Reception, Role};
    let mut newer = Hello::new(Role::Agent, Some(common::wire::message::ReplicaId(7)));
    newer.version += 1;
    let frame = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
    let mut system = System::new();
    let listener = TcpListener::bind(("127.0.0.1", system.port_b)).expect("a port");
    let welcome = frame(&cbor::to_vec(&Reception::Welcome(newer.clone())).expect("written"));
    let identity = system.identity();
    let talk = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("A dials");
        let session = rustls::ServerConnection::new(identity.dialled()).expect("a session");
        let mut stream = rustls::StreamOwned::new(session, stream);
        stream.write_all(&welcome).expect("written");
        let _ = stream.read(&mut [0; 4096]);
    });
    system.start_a();
    system.server(Side::A).says("the other end speaks protocol version 4, this is version 3");
    talk.join().expect("it said so");
    system.start_b();
    system.b_is("connected");
    newer.role = Role::Coordinator;
    let why = Raw::to(&system, system.port_b).refused(&newer);
    assert!(why.contains("version 3") && why.contains('4'), "{why}");
    put(&system.a, "f", "x");
    system.agree_on(&[("f", "x")]);
}
