//! Who may come in: one server A, and nobody beside it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use common::identity::Identity;
use common::wire::connection::{Connection, LinkError};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::message::{Hello, Order, PeerMessage, ReplicaId, Role};
use common::wire::secure::{Channel, dial};

/// A server B on an empty directory, at a free port.
struct ServerB {
    child: Child,
    address: String,
    identity: Identity,
    _directory: tempfile::TempDir,
    _home: tempfile::TempDir,
}

impl ServerB {
    fn start() -> ServerB {
        let directory = tempfile::tempdir().expect("a directory");
        let home = tempfile::tempdir().expect("a directory");
        let identity = Identity::open(Some(home.path())).expect("an identity");
        let mut child = Command::new(env!("CARGO_BIN_EXE_server-b"))
            .arg(directory.path())
            .arg("--identity")
            .arg(home.path())
            .args(["--quiet", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("server B starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("its ready line");
        let rest = line.strip_prefix("server-b ready: peer ").expect("its ready line");
        let address = rest.split(',').next().expect("an address").to_owned();
        ServerB { child, address, identity, _directory: directory, _home: home }
    }

    async fn dial(&self, role: Role, id: u128) -> Result<Connection<Channel>, LinkError> {
        let hello = Hello::new(role, Some(ReplicaId(id)));
        let dialled = dial(&self.address, &self.identity, &hello, HANDSHAKE_TIME).await;
        dialled.map(|(connection, ..)| connection)
    }
}

impl Drop for ServerB {
    fn drop(&mut self) {
        // The test is over, and so is the server, however it did.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn words<T>(end: Result<T, LinkError>) -> String {
    end.map(|_| ()).expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn a_client_is_told_to_ask_server_a() {
    let server = ServerB::start();
    let refusal = words(server.dial(Role::Client, 1).await);
    assert!(refusal.contains("clients talk to server A"), "{refusal}");
}

#[tokio::test]
async fn a_second_server_a_is_refused_while_the_first_is_there() {
    let server = ServerB::start();
    let first = server.dial(Role::Coordinator, 1).await.expect("the first is welcome");
    let (outgoing, mut incoming) = first.start::<PeerMessage, PeerMessage>();
    outgoing.send(&PeerMessage::Order(Order::Inventory)).expect("the link stands");
    // Who is answered is served.
    incoming.next().await.expect("an answer");
    let refusal = words(server.dial(Role::Coordinator, 2).await);
    assert!(refusal.contains("another server A"), "{refusal}");
}

#[tokio::test]
async fn the_same_server_a_may_come_again_before_its_old_link_is_known_to_be_dead() {
    let server = ServerB::start();
    let _first = server.dial(Role::Coordinator, 1).await.expect("the first is welcome");
    server.dial(Role::Coordinator, 1).await.expect("and so it is again");
}
