//! The socket for clients of the same machine and user.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use common::side::Side;
use common::wire::cbor;
use common::wire::message::{Hello, Reception, Role};

use crate::fake_a::run;
use crate::people::SERVERS;
use crate::system::{System, is_root, skip};

/// The sockets that there are.
fn sockets(system: &System) -> Vec<PathBuf> {
    let place = system.people.run().join("lab3");
    let found = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    found
        .filter(|path| fs::metadata(path).is_ok_and(|about| about.file_type().is_socket()))
        .collect()
}

fn ours(system: &System, args: &[&str]) -> Command {
    system.client_of(&system.people.place(SERVERS), args)
}

/// A has a socket as long as it runs, nobody else can reach it, and one that a killed A left behind
/// is in nobody's way.
#[test]
fn server_a_has_a_socket_for_its_own_user() {
    let mut system = System::started();
    let [path] = &sockets(&system)[..] else { panic!("one socket: {:?}", sockets(&system)) };
    let place = fs::metadata(path.parent().expect("a directory")).expect("a directory");
    assert_eq!(place.mode() & 0o777, 0o700);
    let mut stream = UnixStream::connect(path).expect("A listens");
    let body = cbor::to_vec(&Hello::new(Role::Client, None)).expect("written");
    let said = [&(body.len() as u32).to_be_bytes(), &body[..]].concat();
    stream.write_all(&said).expect("said");
    let mut head = [0; 4];
    stream.read_exact(&mut head).expect("an answer");
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).expect("an answer");
    assert!(matches!(cbor::from_slice(&body), Ok(Reception::Welcome(_))));
    system.kill(Side::A);
    assert_eq!(sockets(&system).len(), 1, "it is left behind");
    assert_eq!(run(&mut ours(&system, &["status"])).code, 3);
    system.start_a();
    assert_eq!(sockets(&system).len(), 1);
    assert_eq!(run(&mut ours(&system, &["status"])).code, 0);
    system.stop(&[Side::A]);
    assert!(sockets(&system).is_empty(), "it goes with A");
}

/// The client takes the socket where there is one of its own identity, and otherwise the network;
/// other identities take the network.
#[test]
fn a_client_of_the_same_identity_takes_the_socket() {
    let mut system = System::started();
    let path = sockets(&system).pop().expect("a socket");
    system.stop(&[Side::A]);
    // A false A, at the socket alone.
    let listener = UnixListener::bind(&path).expect("a socket");
    let client = ours(&system, &["status"]).spawn().expect("it runs");
    let (mut stream, _) = listener.accept().expect("the client comes by the socket");
    let mut head = [0; 4];
    stream.read_exact(&mut head).expect("its hello");
    drop(stream);
    assert_eq!(client.wait_with_output().expect("it ends").status.code(), Some(3));
    // Over the network there is nobody.
    let ran = system.lab3(&["status"]);
    assert!(ran.code == 3 && ran.err.contains("connection refused"), "{ran:?}");
    drop(listener);
    fs::remove_file(&path).expect("removed");
    system.start_a();
    fs::remove_file(&path).expect("removed");
    assert_eq!(run(&mut ours(&system, &["status"])).code, 0, "over the network");
}

/// Several servers of one user have sockets of their own, and another's place is left alone: A
/// does without a socket where others could reach it.
#[test]
fn servers_of_one_user_do_not_share_a_socket_and_a_place_open_to_others_is_not_used() {
    let one = System::started();
    let mut other = System::new();
    other.start_b();
    let mut command = other.command_a();
    one.at_home(&mut command, &one.people.place(SERVERS));
    let logs = other.dir.path().join("logs");
    let mut second = crate::server::Server::spawn(command, &logs, "server-a");
    second.ready("server-a");
    assert_eq!(sockets(&one).len(), 2);
    let third = System::new();
    let place = third.people.run().join("lab3");
    fs::create_dir(&place).expect("a directory");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("ours");
    let mut third = third;
    third.start();
    assert!(sockets(&third).is_empty());
    assert_eq!(run(&mut ours(&third, &["status"])).code, 0, "over the network");
}

/// A process of another user that reaches the socket all the same hears nothing.
#[test]
fn another_user_at_the_socket_hears_nothing() {
    let test = "another_user_at_the_socket_hears_nothing";
    if !is_root() {
        return skip(test, "needs root");
    }
    let system = System::started();
    let path = sockets(&system).pop().expect("a socket");
    for place in path.ancestors().take(4) {
        fs::set_permissions(place, fs::Permissions::from_mode(0o777)).expect("ours");
    }
    let body = cbor::to_vec(&Hello::new(Role::Client, None)).expect("written");
    let said: String = [&(body.len() as u32).to_be_bytes(), &body[..]]
        .concat()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let program = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                   try:\n s.sendall(bytes.fromhex(sys.argv[2]))\n print(len(s.recv(9999)))\n\
                   except (BrokenPipeError, ConnectionResetError):\n print(0)";
    let heard = |user: &str| {
        let mut python = Command::new("setpriv");
        python.args([&format!("--reuid={user}"), "--clear-groups", "python3", "-c", program]);
        let ran = python.arg(&path).arg(&said).output().expect("it runs");
        String::from_utf8_lossy(&ran.stdout).trim().parse::<usize>().ok()
    };
    let (own, other) = (heard("0"), heard("65534"));
    if own.is_none() || other.is_none() {
        return skip(test, "needs `setpriv` and `python3` for other users");
    }
    assert!(own > Some(0), "our own user is answered");
    assert_eq!(other, Some(0));
}
