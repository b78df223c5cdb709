//! What a connection proves, over real sockets: friends, strangers, and impostors.

use std::path::Path;
use std::time::Duration;

use common::identity::Identity;
use common::identity::trusted::{Grant, Standing};
use common::wire::cbor;
use common::wire::connection::LinkError;
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::lobby::Lobby;
use common::wire::message::{Hello, Reception, ReplicaId, Role};
use common::wire::secure::{dial, receive};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::fuzz::handshakes::impostor;

const PATIENCE: Duration = Duration::from_millis(300);

fn identity(home: &Path, name: &str) -> Identity {
    Identity::open(Some(&home.join(name))).expect("an identity")
}

fn trust(who: &Identity, whom: &Identity, standing: Standing) {
    who.trust(&Grant { id: *whom.id(), standing, name: None }).expect("granted");
}

fn agent() -> Hello {
    Hello::new(Role::Agent, Some(ReplicaId(2)))
}

fn coordinator() -> Hello {
    Hello::new(Role::Coordinator, Some(ReplicaId(7)))
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

/// What the accepting end says of the next one who comes.
async fn accept(listener: &TcpListener, identity: &Identity) -> Result<Hello, LinkError> {
    let (stream, from) = listener.accept().await.expect("accepted");
    let guest = Lobby::default().enter(from.ip());
    let received =
        receive(stream, guest, (identity, Standing::Peer), HANDSHAKE_TIME, |_| Ok(agent()));
    received.await.map(|(_, hello, _)| hello)
}

/// What both ends say, the dialling one first.
async fn meet(one: &Identity, other: &Identity) -> [Result<Hello, LinkError>; 2] {
    let (listener, address) = listen().await;
    let hello = coordinator();
    let (dialled, accepted) =
        tokio::join!(dial(address, one, &hello, HANDSHAKE_TIME), accept(&listener, other));
    [dialled.map(|(_, hello, _)| hello), accepted]
}

#[tokio::test]
async fn programs_of_one_identity_and_those_who_trust_each_other_meet() {
    let home = tempfile::tempdir().expect("a directory");
    let (a, b) = (identity(home.path(), "a"), identity(home.path(), "b"));
    let again = identity(home.path(), "a");
    trust(&a, &b, Standing::Peer);
    trust(&b, &a, Standing::Peer);
    for (one, other) in [(&a, &again), (&a, &b), (&b, &a)] {
        let [dialled, accepted] = meet(one, other).await;
        assert_eq!(dialled.expect("welcome"), agent());
        assert_eq!(accepted.expect("a friend"), coordinator());
    }
}

#[tokio::test]
async fn a_stranger_is_refused_in_words_that_name_him_at_both_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let (a, b) = (identity(home.path(), "a"), identity(home.path(), "b"));
    trust(&a, &b, Standing::Peer);
    let command = format!("lab3 trust {} --role peer", a.id());
    for standing in [None, Some(Standing::Reader), Some(Standing::Client)] {
        if let Some(standing) = standing {
            trust(&b, &a, standing);
        }
        let [dialled, accepted] = meet(&a, &b).await.map(|end| end.expect_err("refused"));
        assert!(matches!(dialled, LinkError::Refused(_)), "{dialled}");
        assert!(matches!(accepted, LinkError::Turned(_)), "{accepted}");
        for line in [dialled.to_string(), accepted.to_string()] {
            assert!(line.contains(&command), "{line}");
        }
    }
}

#[tokio::test]
async fn who_dials_says_nothing_to_a_server_that_it_does_not_trust() {
    let home = tempfile::tempdir().expect("a directory");
    let (a, b) = (identity(home.path(), "a"), identity(home.path(), "b"));
    trust(&b, &a, Standing::Peer);
    let command = format!("lab3 trust {} --role peer", b.id());
    let [dialled, accepted] = meet(&a, &b).await.map(|end| end.expect_err("refused"));
    assert!(matches!(dialled, LinkError::Turned(_)), "{dialled}");
    assert!(matches!(accepted, LinkError::Refused(_)), "no hello was said: {accepted}");
    for line in [dialled.to_string(), accepted.to_string()] {
        assert!(line.contains(&command), "{line}");
    }
}

#[tokio::test]
async fn a_public_key_without_its_private_half_proves_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let (mallory, b) = (identity(home.path(), "mallory"), identity(home.path(), "b"));
    for (config, passes) in [(impostor(&mallory, &b), false), (impostor(&b, &b), true)] {
        let (listener, address) = listen().await;
        let dialling = async {
            let stream = TcpStream::connect(address).await.expect("connected");
            let nobody = ServerName::try_from("lab3").expect("a name");
            let mut stream = TlsConnector::from(config).connect(nobody, stream).await?;
            let body = cbor::to_vec(&coordinator()).expect("written");
            stream.write_all(&(body.len() as u32).to_be_bytes()).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
            let mut head = [0; 4];
            stream.read_exact(&mut head).await
        };
        let (dialled, accepted) = tokio::join!(dialling, accept(&listener, &b));
        assert_eq!(accepted.is_ok(), passes, "{accepted:?}");
        assert_eq!(dialled.is_ok(), passes, "{dialled:?}");
        if let Err(error) = accepted {
            assert!(matches!(error, LinkError::Unproven(_)), "{error:?}");
        }
    }
}

/// What the accepting end says of bytes, and what who said them hears.
async fn accepting(bytes: &[u8]) -> (LinkError, Vec<u8>) {
    let home = tempfile::tempdir().expect("a directory");
    let identity = identity(home.path(), "b");
    let (listener, address) = listen().await;
    let mut dialler = TcpStream::connect(address).await.expect("connected");
    dialler.write_all(bytes).await.expect("written");
    dialler.shutdown().await.expect("half closed");
    let mut heard = Vec::new();
    let (end, read) = tokio::join!(accept(&listener, &identity), dialler.read_to_end(&mut heard));
    // A stranger's unread bytes may end the connection rudely; that is its affair.
    let _ = read;
    (end.expect_err("not welcome"), heard)
}

#[tokio::test]
async fn who_speaks_something_else_is_named_by_what_it_says() {
    let body = cbor::to_vec(&coordinator()).expect("written");
    let plain = [&(body.len() as u32).to_be_bytes(), &body[..]].concat();
    for (bytes, word) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH"),
        (b"\xff\xff\xff\xff\x1b[2J", "`\\xff\\xff\\xff\\xff\\x1b[2J`"),
        (b"ab", "`ab`"),
        (&plain, "lab3 without encryption"),
    ] {
        let (error, heard) = accepting(bytes).await;
        let line = format!("the other end does not speak lab3, it says {word}");
        assert_eq!(error.to_string(), line);
        let welcome = heard.windows(7).any(|window| window == b"Welcome");
        assert!(!welcome, "a hello that is not encrypted is not answered: {heard:?}");
    }
    // TLS of somebody else.
    let (error, _) = accepting(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").await;
    assert!(matches!(error, LinkError::Unproven(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_encrypted_is_no_welcome() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = identity(home.path(), "a");
    let body = cbor::to_vec(&Reception::Welcome(agent())).expect("written");
    let plain = [&(body.len() as u32).to_be_bytes(), &body[..]].concat();
    for bytes in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), b"SSH-2.0-x\r\n".to_vec(), plain] {
        let (listener, address) = listen().await;
        let said = bytes.clone();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            stream.write_all(&said).await.expect("written");
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = dial(address, &ours, &coordinator(), HANDSHAKE_TIME).await.err();
        assert!(matches!(error, Some(LinkError::Foreign(_))), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn one_deadline_covers_a_handshake_that_drips_or_never_comes() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = identity(home.path(), "a");
    let (listener, address) = listen().await;
    // Mute acceptor.
    let error = dial(&address, &ours, &coordinator(), PATIENCE).await.err();
    assert!(matches!(error, Some(LinkError::Timeout(_))), "{error:?}");
    let _ = listener.accept().await.expect("it came");
    let drip = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        // The head of a record that is long in coming.
        for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain([0; 100]) {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(PATIENCE / 10).await;
        }
    });
    let (stream, from) = listener.accept().await.expect("accepted");
    let guest = Lobby::default().enter(from.ip());
    let least = (&ours, Standing::Peer);
    let error = receive(stream, guest, least, PATIENCE, |_| Ok(agent())).await.err();
    assert!(matches!(error, Some(LinkError::Timeout(_))), "{error:?}");
    drip.abort();
}

#[tokio::test]
async fn who_waited_longest_is_dropped_when_too_many_wait() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = identity(home.path(), "a");
    let (listener, address) = listen().await;
    let lobby = Lobby::default();
    let _silent = TcpStream::connect(&address).await.expect("connected");
    let (stream, from) = listener.accept().await.expect("accepted");
    let guest = lobby.enter(from.ip());
    let others: Vec<_> = (0..500).map(|_| lobby.enter(from.ip())).collect();
    let least = (&ours, Standing::Peer);
    let error = receive(stream, guest, least, HANDSHAKE_TIME, |_| Ok(agent())).await.err();
    assert!(matches!(error, Some(LinkError::Crowded)), "{error:?}");
    drop(others);
}
