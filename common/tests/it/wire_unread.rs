//! Who asks for signs of life and does not read them.

use std::time::Duration;

use common::wire::cbor;
use common::wire::connection::{Incoming, Outgoing};
use common::wire::handshake::greet;
use common::wire::message::{Hello, Order, OrderId, PeerMessage, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

const GENEROUS: Duration = Duration::from_secs(60);
/// So many pings that their answers are several times the bound.
const PINGS: u64 = 100_000;
const UNREAD_MAX: usize = 128 * 1024;

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).expect("short").to_be_bytes(), body].concat()
}

fn bytes(message: &PeerMessage) -> Vec<u8> {
    framed(&cbor::to_vec(message).expect("writable"))
}

async fn frame(from: &mut DuplexStream) -> Vec<u8> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut body).await.expect("a body");
    body
}

#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_answered_no_longer() {
    let (ours, mut theirs) = duplex(1024);
    let hello = Hello::new(Role::Agent, None);
    let dial = async {
        let hello = cbor::to_vec(&hello).expect("writable");
        theirs.write_all(&framed(&hello)).await.expect("written");
        frame(&mut theirs).await;
    };
    let (greeted, ()) = tokio::join!(greet(ours, GENEROUS, |_| Ok(hello.clone())), dial);
    let (says, mut hears): (Outgoing<PeerMessage>, Incoming<PeerMessage, _>) =
        greeted.expect("welcome").0.start();
    let order = |id| PeerMessage::Order(Order::Settle { id: OrderId(id) });
    let asking = async {
        for _ in 0..PINGS {
            theirs.write_all(&bytes(&PeerMessage::Ping)).await.expect("written");
        }
        theirs.write_all(&bytes(&order(1))).await.expect("written");
    };
    let (heard, ()) = tokio::join!(timeout(GENEROUS, hears.next()), asking);
    assert_eq!(heard.expect("in time").expect("all pings were read"), order(1));
    let pong = bytes(&PeerMessage::Pong);
    let waiting = says.waiting();
    assert!(waiting < UNREAD_MAX + pong.len(), "{waiting} bytes wait");
    assert!(waiting > UNREAD_MAX / 2, "only {waiting} bytes wait: the test asks too little");
    // When they are read after all, the next one is answered again.
    says.send(&order(2)).expect("sent");
    let mut pongs = 0;
    loop {
        let body = timeout(GENEROUS, frame(&mut theirs)).await.expect("in time");
        match cbor::from_slice(&body).expect("a message") {
            PeerMessage::Pong => pongs += 1,
            message => {
                assert_eq!(message, order(2));
                break;
            }
        }
    }
    assert!(pongs < PINGS / 2, "{pongs} answers");
    theirs.write_all(&bytes(&PeerMessage::Ping)).await.expect("written");
    let again = timeout(GENEROUS, async {
        tokio::select! {
            message = hears.next() => panic!("{message:?}"),
            body = frame(&mut theirs) => body,
        }
    });
    let again: PeerMessage = cbor::from_slice(&again.await.expect("in time")).expect("a message");
    assert_eq!(again, PeerMessage::Pong);
}
