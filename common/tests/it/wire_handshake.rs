//! The first two frames over real sockets: friends, strangers, and those who stall.

use std::time::{Duration, Instant};

use common::limits::HELLO_BYTES_MAX;
use common::wire::cbor;
use common::wire::connection::Connection;
use common::wire::connection::LinkError;
use common::wire::handshake::{HANDSHAKE_TIME, greet, open};
use common::wire::message::{Hello, PROTOCOL_VERSION, Reception, ReplicaId, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_millis(150);

fn agent() -> Hello {
    Hello::new(Role::Agent, Some(ReplicaId(u128::MAX)))
}

fn coordinator() -> Hello {
    Hello::new(Role::Coordinator, Some(ReplicaId(7)))
}

async fn connect(
    address: String,
    hello: &Hello,
    within: Duration,
) -> Result<(Connection<TcpStream>, Hello), LinkError> {
    let stream = TcpStream::connect(address).await.map_err(LinkError::Connect)?;
    open(stream, hello, within).await
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes(), body].concat()
}

/// What the acceptor says of a dialer that says `bytes`, and what the dialer hears.
async fn accepting(bytes: &[u8]) -> (LinkError, Vec<u8>) {
    let (listener, address) = listen().await;
    let mut dialer = TcpStream::connect(address).await.expect("connected");
    dialer.write_all(bytes).await.expect("written");
    dialer.shutdown().await.expect("half closed");
    let (stream, _) = listener.accept().await.expect("accepted");
    let accept = greet(stream, HANDSHAKE_TIME, |_| Ok(agent()));
    let mut heard = Vec::new();
    let (end, read) = tokio::join!(accept, dialer.read_to_end(&mut heard));
    // A stranger's unread bytes may end the connection rudely; that is its affair.
    let _ = read;
    (end.expect_err("not welcome"), heard)
}

/// What the dialer says of an acceptor that says `bytes`.
async fn dialing(bytes: Vec<u8>) -> LinkError {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        stream.write_all(&bytes).await.expect("written");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    connect(address, &coordinator(), HANDSHAKE_TIME).await.expect_err("no welcome")
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is() {
    let (listener, address) = listen().await;
    let hello = coordinator();
    let dial = connect(address, &hello, HANDSHAKE_TIME);
    let accept = async {
        let (stream, _) = listener.accept().await.expect("accepted");
        greet(stream, HANDSHAKE_TIME, |theirs| {
            assert_eq!(theirs.role, Role::Coordinator);
            Ok(agent())
        })
        .await
    };
    let (dialed, accepted) = tokio::join!(dial, accept);
    assert_eq!(dialed.expect("welcome").1, agent());
    assert_eq!(accepted.expect("a friend").1, coordinator());
}

#[tokio::test]
async fn a_refused_peer_reads_why() {
    let (listener, address) = listen().await;
    let hello = coordinator();
    let dial = connect(address, &hello, HANDSHAKE_TIME);
    let accept = async {
        let (stream, _) = listener.accept().await.expect("accepted");
        greet(stream, HANDSHAKE_TIME, |_| Err("busy with\x1b another".to_owned())).await
    };
    let (dialed, accepted) = tokio::join!(dial, accept);
    let refused = dialed.expect_err("refused");
    assert_eq!(refused.to_string(), "the other end refused: busy with\\x1b another");
    assert!(matches!(accepted, Err(LinkError::Turned(_))));
}

#[tokio::test]
async fn another_version_is_one_clear_line_on_both_sides() {
    let later = Hello { version: PROTOCOL_VERSION + 1, ..coordinator() };
    let body = cbor::to_vec(&later).expect("writable");
    let (error, heard) = accepting(&framed(&body)).await;
    assert_eq!(error.to_string(), "the other end speaks protocol version 4, this is version 3");
    let reception: Reception = cbor::from_slice(&heard[4..]).expect("a reception");
    let reason = "this end speaks protocol version 3, yours is 4".to_owned();
    assert_eq!(reception, Reception::Refused(reason));

    // An acceptor that does not look at ours.
    let body = cbor::to_vec(&Reception::Welcome(later)).expect("writable");
    let error = dialing(framed(&body)).await;
    assert!(matches!(error, LinkError::Version { theirs: 4, ours: 3 }), "{error}");
}

#[tokio::test]
async fn a_later_hello_is_recognised_though_its_fields_are_others() {
    #[derive(serde::Serialize)]
    struct Later<'a> {
        magic: &'a str,
        version: u32,
        role: u8,
        colour: &'a str,
    }
    let later = Later { magic: "lab3", version: 9, role: 200, colour: "red" };
    let (error, _) = accepting(&framed(&cbor::to_vec(&later).expect("writable"))).await;
    assert!(matches!(error, LinkError::Version { theirs: 9, .. }), "{error}");
}

#[tokio::test]
async fn strangers_are_named_by_what_they_say() {
    for (bytes, line) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "TLS"),
        (b"\0\0\0\0\0\0", "`\\x00\\x00\\x00\\x00\\x00\\x00`"),
        (b"\xff\xff\xff\xff\x1b[2J", "`\\xff\\xff\\xff\\xff\\x1b[2J`"),
        (b"\0\0\0\x03abc", "`abc`"),
        (b"ab", "`ab`"),
    ] {
        let line = format!("the other end does not speak lab3, it says {line}");
        assert_eq!(accepting(bytes).await.0.to_string(), line);
        if bytes.len() > 4 {
            assert_eq!(dialing(bytes.to_vec()).await.to_string(), line);
        }
    }
}

#[tokio::test]
async fn another_magic_is_a_stranger() {
    let hello = Hello { magic: "lab4".to_owned(), ..coordinator() };
    let (error, heard) = accepting(&framed(&cbor::to_vec(&hello).expect("writable"))).await;
    assert!(matches!(error, LinkError::Foreign(ref what) if what == "`lab4`"), "{error}");
    assert!(heard.is_empty(), "nothing is said to a stranger");
}

#[tokio::test]
async fn a_hello_over_the_limit_is_refused_by_its_length() {
    let mut prefix = u32::try_from(HELLO_BYTES_MAX + 1).expect("short").to_be_bytes().to_vec();
    prefix.push(0xa5);
    assert!(matches!(accepting(&prefix).await.0, LinkError::Foreign(_)));
}

#[tokio::test]
async fn a_closed_door_is_a_lost_link() {
    assert!(matches!(accepting(b"").await.0, LinkError::Lost(None)));
    // A port that is taken, but on which nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = taken.local_addr().expect("an address");
    let error = connect(address.to_string(), &coordinator(), HANDSHAKE_TIME).await.err();
    assert!(matches!(error, Some(LinkError::Connect(_))));
}

#[tokio::test]
async fn one_deadline_covers_a_hello_that_drips() {
    let (listener, address) = listen().await;
    let hello = framed(&cbor::to_vec(&coordinator()).expect("writable"));
    let drip = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        for byte in hello {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(PATIENCE / 4).await;
        }
    });
    let (stream, _) = listener.accept().await.expect("accepted");
    let start = Instant::now();
    let error = greet(stream, PATIENCE, |_| Ok(agent())).await.err();
    assert!(matches!(error, Some(LinkError::Timeout(_))), "{error:?}");
    assert!(start.elapsed() >= PATIENCE);
    drip.abort();
}

#[tokio::test]
async fn a_mute_acceptor_does_not_hold_the_dialer() {
    let (listener, address) = listen().await;
    let error = connect(address, &coordinator(), PATIENCE).await.err();
    assert!(matches!(error, Some(LinkError::Timeout(_))), "{error:?}");
    drop(listener);
}

#[tokio::test]
async fn a_hello_may_be_split_at_every_byte() {
    let bytes = framed(&cbor::to_vec(&coordinator()).expect("writable"));
    for cut in 1..bytes.len() {
        let (mut dialer, acceptor) = tokio::io::duplex(64);
        let (first, second) = bytes.split_at(cut);
        let say = async {
            dialer.write_all(first).await.expect("written");
            tokio::task::yield_now().await;
            dialer.write_all(second).await.expect("written");
            let mut length = [0; 4];
            dialer.read_exact(&mut length).await.expect("a length");
            let mut rest = vec![0; u32::from_be_bytes(length) as usize];
            dialer.read_exact(&mut rest).await.expect("a body");
        };
        let accept = greet(acceptor, HANDSHAKE_TIME, |_| Ok(Hello::new(Role::Client, None)));
        let ((), accepted) = tokio::join!(say, accept);
        assert_eq!(accepted.expect("a friend").1, coordinator(), "cut at {cut}");
    }
}
