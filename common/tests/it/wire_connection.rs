//! Messages over real sockets: lanes, backpressure, heartbeat, hostile bytes.

use std::time::Duration;

use common::digest::Digest;
use common::limits::{FRAME_BYTES_MAX, PIECE_BYTES_MAX};
use common::wire::cbor;
use common::wire::client::{Answer, Request};
use common::wire::connection::{BULK_BYTES_MAX, Incoming, LinkError, Outgoing, Pace};
use common::wire::handshake::{HANDSHAKE_TIME, greet, open};
use common::wire::message::{AskId, Give, Given, Hello, Order, OrderId, PeerMessage, Report, Role};
use common::wire::secure::tune;
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

type PeerIn = Incoming<PeerMessage, TcpStream>;
type PeerOut = Outgoing<PeerMessage>;

const GENEROUS: Duration = Duration::from_secs(20);

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (dialed, accepted) = (dialed.expect("connected"), accepted.expect("accepted").0);
    tune(&dialed);
    tune(&accepted);
    (dialed, accepted)
}

fn hello() -> Hello {
    Hello::new(Role::Agent, None)
}

async fn linked(pace: Pace) -> ((PeerOut, PeerIn), (PeerOut, PeerIn)) {
    let (a, b) = sockets().await;
    let ours = hello();
    let (a, b) =
        tokio::join!(open(a, &ours, HANDSHAKE_TIME), greet(b, HANDSHAKE_TIME, |_| Ok(hello())));
    (a.expect("welcome").0.start_paced(pace), b.expect("welcome").0.start_paced(pace))
}

/// One end of ours, after the handshake, and the bare socket at the other end.
async fn half_linked(pace: Pace) -> ((PeerOut, PeerIn), TcpStream) {
    let (a, mut b) = sockets().await;
    let dial = async {
        let hello = cbor::to_vec(&hello()).expect("writable");
        b.write_all(&framed(&hello)).await.expect("written");
        let mut length = [0; 4];
        b.read_exact(&mut length).await.expect("a length");
        let mut rest = vec![0; u32::from_be_bytes(length) as usize];
        b.read_exact(&mut rest).await.expect("a reception");
    };
    let (accepted, ()) = tokio::join!(greet(a, HANDSHAKE_TIME, |_| Ok(hello())), dial);
    (accepted.expect("welcome").0.start_paced(pace), b)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes(), body].concat()
}

fn order(id: u64) -> PeerMessage {
    PeerMessage::Order(Order::Settle { id: OrderId(id) })
}

fn piece(id: u64) -> PeerMessage {
    let given = Given::Piece(ByteBuf::from(vec![id as u8; PIECE_BYTES_MAX]));
    PeerMessage::Give(Give { id: AskId(id), given })
}

async fn hear(incoming: &mut PeerIn) -> Result<PeerMessage, LinkError> {
    timeout(GENEROUS, incoming.next()).await.expect("not for ever")
}

#[tokio::test]
async fn messages_arrive_in_the_order_of_their_lane() {
    let ((a_out, mut a_in), (b_out, mut b_in)) = linked(Pace::default()).await;
    for id in 0..5000 {
        a_out.send(&order(id)).expect("sent");
    }
    b_out.send(&order(9)).expect("sent");
    for id in 0..5000 {
        assert_eq!(hear(&mut b_in).await.expect("heard"), order(id));
    }
    assert_eq!(hear(&mut a_in).await.expect("heard"), order(9));
}

#[tokio::test]
async fn what_is_urgent_passes_what_is_bulky_and_bulk_is_bounded() {
    let ((a_out, _a_in), (_b_out, mut b_in)) = linked(Pace::default()).await;
    // Far more than the lane and both socket buffers hold, while nobody reads.
    let total = 4 * (BULK_BYTES_MAX / PIECE_BYTES_MAX) as u64;
    let sender = a_out.clone();
    let pieces = tokio::task::spawn_blocking(move || {
        for id in 0..total {
            sender.blocking_send_bulk(&piece(id)).expect("sent");
        }
    });
    assert!(
        timeout(Duration::from_millis(300), async {
            while !pieces.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .is_err()
    );
    a_out.send(&order(1)).expect("an urgent message never waits");
    let mut before = 0;
    let mut after = 0;
    let mut urgent = false;
    while before + after < total {
        match hear(&mut b_in).await.expect("heard") {
            PeerMessage::Give(give) => {
                assert_eq!(give.id, AskId(before + after), "bulk keeps its order");
                *(if urgent { &mut after } else { &mut before }) += 1;
            }
            message => {
                assert_eq!(message, order(1));
                urgent = true;
            }
        }
    }
    pieces.await.expect("all sent");
    assert!(urgent && after * PIECE_BYTES_MAX as u64 >= BULK_BYTES_MAX as u64 / 2, "{after}");
}

#[tokio::test]
async fn a_silent_peer_is_lost_and_a_pinging_one_is_not() {
    let pace = Pace {
        ping_after: Duration::from_millis(40),
        silence_max: Duration::from_millis(400),
        linger: Duration::from_millis(50),
    };
    let ((a_out, mut a_in), (b_out, mut b_in)) = linked(pace).await;
    let quiet = timeout(Duration::from_millis(1200), async {
        tokio::select! { end = a_in.next() => end, end = b_in.next() => end }
    });
    assert!(quiet.await.is_err(), "pings alone keep a link");
    a_out.send(&order(1)).expect("still there");
    assert_eq!(hear(&mut b_in).await.expect("heard"), order(1));
    drop(b_out);

    let ((_out, mut incoming), socket) = half_linked(pace).await;
    assert!(matches!(hear(&mut incoming).await, Err(LinkError::Timeout(_))));
    drop(socket);
}

#[tokio::test]
async fn a_ping_is_answered() {
    let ((_out, mut incoming), mut socket) = half_linked(Pace::default()).await;
    let ping = framed(&cbor::to_vec(&PeerMessage::Ping).expect("writable"));
    socket.write_all(&ping).await.expect("written");
    let mut heard = [0; 9];
    tokio::select! {
        _ = incoming.next() => panic!("a ping is no message"),
        read = timeout(GENEROUS, socket.read_exact(&mut heard)) => {
            read.expect("in time").expect("a pong");
        }
    }
    assert_eq!(cbor::from_slice(&heard[4..]), Ok(PeerMessage::Pong));
}

#[tokio::test]
async fn a_message_may_be_split_at_every_byte() {
    let ((_out, mut incoming), mut socket) = half_linked(Pace::default()).await;
    let report = PeerMessage::Report(Report::Synced { id: OrderId(300), durable: true });
    let frame = framed(&cbor::to_vec(&report).expect("writable"));
    for cut in 0..=frame.len() {
        socket.write_all(&frame[..cut]).await.expect("written");
        if cut < frame.len() {
            // The first part is read, and the waiting is given up, and taken up again.
            let early = timeout(Duration::from_millis(2), incoming.next()).await;
            assert!(early.is_err(), "cut at {cut}");
        }
        socket.write_all(&frame[cut..]).await.expect("written");
        assert_eq!(hear(&mut incoming).await.expect("heard"), report, "cut at {cut}");
    }
}

#[tokio::test]
async fn hostile_bytes_end_the_link_with_their_name() {
    let nested = [vec![0xa1, 0x65], b"Order".to_vec(), vec![0x81; 100_000]].concat();
    let trailing = [cbor::to_vec(&PeerMessage::Ping).expect("writable"), vec![0]].concat();
    let over = u32::try_from(FRAME_BYTES_MAX + 1).expect("short").to_be_bytes().to_vec();
    for (bytes, name) in [
        (vec![0xff; 8], "a frame is out of bounds"),
        (over, "a frame is out of bounds"),
        (vec![0; 4], "a frame is out of bounds"),
        (framed(&nested), "a message cannot be read or written"),
        (framed(&trailing), "a message cannot be read or written"),
        (framed(b"\xff"), "a message cannot be read or written"),
        (vec![0, 0, 1, 0, 1, 2, 3], "the link was lost"),
        (vec![], "the link was lost"),
    ] {
        let ((_out, mut incoming), mut socket) = half_linked(Pace::default()).await;
        socket.write_all(&bytes).await.expect("written");
        socket.shutdown().await.expect("closed");
        let error = hear(&mut incoming).await.expect_err("hostile");
        assert_eq!(error.to_string(), name, "{:02x?}", &bytes[..bytes.len().min(8)]);
    }
}

#[tokio::test]
async fn a_path_that_leaves_the_root_is_not_a_message() {
    let honest = PeerMessage::Order(Order::Rescan {
        path: Some(common::path::RelPath::new("aa/bb").expect("a path")),
    });
    let mut body = cbor::to_vec(&honest).expect("writable");
    let at = body.windows(5).position(|part| part == b"aa/bb").expect("its path");
    body[at..at + 5].copy_from_slice(b"../bb");
    let ((_out, mut incoming), mut socket) = half_linked(Pace::default()).await;
    socket.write_all(&framed(&body)).await.expect("written");
    assert!(matches!(hear(&mut incoming).await, Err(LinkError::Malformed(_))));
}

#[tokio::test]
async fn what_was_sent_before_the_end_still_arrives() {
    let ((a_out, a_in), (_b_out, mut b_in)) = linked(Pace::default()).await;
    for id in 0..40 {
        a_out.send_bulk(&piece(id)).await.expect("sent");
        if id == 20 {
            break;
        }
    }
    a_out.send(&order(1)).expect("sent");
    drop(a_out);
    drop(a_in);
    let mut count = 0;
    let end = loop {
        match hear(&mut b_in).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(count, 22);
    assert!(matches!(end, LinkError::Lost(None)), "{end:?}");
}

#[tokio::test]
async fn a_sender_that_waits_for_room_learns_of_the_loss() {
    let ((a_out, mut a_in), (b_out, b_in)) = linked(Pace::default()).await;
    let sender = a_out.clone();
    let waiting = tokio::task::spawn_blocking(move || {
        loop {
            if let Err(error) = sender.blocking_send_bulk(&piece(0)) {
                return error;
            }
        }
    });
    drop((b_out, b_in));
    assert!(matches!(hear(&mut a_in).await, Err(LinkError::Lost(_))));
    drop(a_in);
    let error = timeout(GENEROUS, waiting).await.expect("in time").expect("joined");
    assert!(matches!(error, LinkError::Lost(None)), "{error:?}");
    assert!(a_out.is_closed() && a_out.send(&order(1)).is_err());
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_sent() {
    let ((a_out, _a_in), _b) = linked(Pace::default()).await;
    let given = Given::Piece(ByteBuf::from(vec![0; FRAME_BYTES_MAX]));
    let long = PeerMessage::Give(Give { id: AskId(1), given });
    assert!(matches!(a_out.send(&long), Err(LinkError::Frame(_))));
    a_out.send(&order(1)).expect("the link goes on");
}

#[tokio::test]
async fn a_client_asks_and_hears() {
    let (a, b) = sockets().await;
    let ours = Hello::new(Role::Client, None);
    let (a, b) = tokio::join!(
        open(a, &ours, HANDSHAKE_TIME),
        greet(b, HANDSHAKE_TIME, |theirs| match theirs.role {
            Role::Client => Ok(hello()),
            _ => Err("not a client".to_owned()),
        })
    );
    let (ask, mut answers): (Outgoing<Request>, Incoming<Answer, _>) =
        a.expect("welcome").0.start();
    let (answer, mut requests): (Outgoing<Answer>, Incoming<Request, _>) =
        b.expect("welcome").0.start();
    ask.send(&Request::Scrub).expect("sent");
    assert_eq!(requests.next().await.expect("heard"), Request::Scrub);
    let done = Answer::Done(Digest::of(b"x").to_string());
    answer.send(&done).expect("sent");
    assert_eq!(answers.next().await.expect("heard"), done);
}

#[tokio::test]
async fn how_long_the_way_is_can_be_asked_without_a_message_being_heard() {
    let ((a_out, mut a_in), (b_out, mut b_in)) = linked(Pace::default()).await;
    assert_eq!(a_out.round(), None);
    a_out.measure();
    a_out.measure();
    a_out.send(&order(1)).expect("sent");
    assert_eq!(hear(&mut b_in).await.expect("heard"), order(1), "its ping is answered by now");
    b_out.send(&order(2)).expect("sent");
    assert_eq!(hear(&mut a_in).await.expect("heard"), order(2));
    assert!(a_out.round().is_some() && b_out.round().is_none());
}
