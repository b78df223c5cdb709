//! Server B before a scripted coordinator, over real sockets and a real directory.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::entry::{Entry, File};
use common::identity::Identity;
use common::path::RelPath;
use common::time::Timestamp;
use common::wire::connection::{Incoming, LinkError, Outgoing};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::message::{Content, Hello, Order, OrderId, PeerMessage, ReplicaId, Report, Role};
use common::wire::secure::{Channel, dial};
use serde_bytes::ByteBuf;

use tokio::sync::oneshot;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

struct Coordinator {
    out: Outgoing<PeerMessage>,
    heard: Incoming<PeerMessage, Channel>,
}

/// Where a server B is, and who it is.
struct At {
    address: SocketAddr,
    identity: Identity,
}

impl Coordinator {
    async fn dial(at: &At, id: u128) -> Result<Coordinator, LinkError> {
        let hello = Hello::new(Role::Coordinator, Some(ReplicaId(id)));
        let (connection, theirs, _) =
            dial(at.address, &at.identity, &hello, HANDSHAKE_TIME).await?;
        assert_eq!(theirs.role, Role::Agent);
        let (out, heard) = connection.start();
        Ok(Coordinator { out, heard })
    }

    fn order(&self, order: Order) {
        self.out.send(&PeerMessage::Order(order)).expect("the link stands");
    }

    /// The next report that is wanted; others are passed over.
    async fn report<T>(&mut self, want: impl Fn(Report) -> Option<T>) -> T {
        let search = async {
            loop {
                let message = self.heard.next().await.expect("the link stands");
                if let PeerMessage::Report(report) = message
                    && let Some(found) = want(report)
                {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("said within a minute")
    }

    async fn inventory(&mut self) -> Vec<RelPath> {
        self.order(Order::Inventory);
        self.report(|report| match report {
            Report::Inventory { rows, last: true, .. } => {
                Some(rows.into_iter().map(|(path, _)| path).collect())
            }
            _ => None,
        })
        .await
    }
}

/// Runs server B on a directory as long as the body lasts.
async fn with_server_b(directory: &Path, body: impl AsyncFnOnce(&At)) {
    let home = tempfile::tempdir().expect("a directory");
    let identity = Identity::open(Some(home.path())).expect("an identity");
    let config = server_b::Config {
        identity: Some(home.path().to_path_buf()),
        directory: directory.to_path_buf(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        replica: Default::default(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (bound, address) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let server = tokio::spawn(server_b::run(config, stopped, |address, _| {
        bound.send(address).expect("somebody waits");
    }));
    let address = address.await.expect("the server is ready");
    body(&At { address, identity }).await;
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("a clean stop");
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a valid path")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_once_and_its_outcome_told() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("old"), "old").expect("written");
    with_server_b(dir.path(), async |at| {
        let mut a = Coordinator::dial(at, 1).await.expect("let in");
        assert_eq!(a.inventory().await, [path("old")]);
        let modified = Timestamp { seconds: 1_000_000_000, nanos: 5 };
        let file = File { digest: Digest::of(b"new"), size: 3, mode: 0o640, modified };
        let after = Some(Entry::File(file));
        let change = Change { path: path("new"), before: None, after: after.clone(), copy: None };
        for round in [1, 2] {
            a.order(Order::Commit {
                id: OrderId(round),
                operation: Operation::Change(change.clone()),
                content: Content::Inline(ByteBuf::from(b"new".to_vec())),
            });
            let outcome = a
                .report(|report| match report {
                    Report::Outcome { id, outcome, .. } if id == OrderId(round) => Some(outcome),
                    _ => None,
                })
                .await;
            assert_eq!(outcome, Outcome::Done { now: after.clone(), aside: None }, "{round}");
        }
        assert_eq!(fs::read(dir.path().join("new")).expect("there"), b"new");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_link_of_one_coordinator_is_the_true_one() {
    let dir = tempfile::tempdir().expect("a directory");
    with_server_b(dir.path(), async |at| {
        let mut first = Coordinator::dial(at, 1).await.expect("let in");
        first.inventory().await;
        let mut second = Coordinator::dial(at, 1).await.expect("let in again");
        second.inventory().await;
        let end = timeout(PATIENCE, async { while first.heard.next().await.is_ok() {} });
        end.await.expect("the first link ends");
        fs::write(dir.path().join("seen"), "x").expect("written");
        let seen = second.report(|report| match report {
            Report::Observed(o) => o.rows.into_iter().find(|row| row.path == path("seen")),
            _ => None,
        });
        assert!(seen.await.entry.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_coordinator_and_a_client_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    with_server_b(dir.path(), async |at| {
        let mut first = Coordinator::dial(at, 1).await.expect("let in");
        first.inventory().await;
        let refused = Coordinator::dial(at, 2).await.err().expect("refused").to_string();
        assert!(refused.contains("another server A is connected"), "{refused}");
        let client = Hello::new(Role::Client, None);
        let refused =
            dial(at.address, &at.identity, &client, HANDSHAKE_TIME).await.expect_err("refused");
        assert!(refused.to_string().contains("clients talk to server A"), "{refused}");
        assert_eq!(first.inventory().await, Vec::<RelPath>::new(), "the first one is still served");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_before_somebody_asks() {
    let dir = tempfile::tempdir().expect("a directory");
    with_server_b(dir.path(), async |at| {
        let mut a = Coordinator::dial(at, 1).await.expect("let in");
        fs::write(dir.path().join("f"), "x").expect("written");
        let id = OrderId(9);
        a.inventory().await;
        a.order(Order::Settle { id });
        let settled = |report| match report {
            Report::Settled { id } => Some(id),
            _ => None,
        };
        assert_eq!(a.report(settled).await, id);
        assert_eq!(a.inventory().await, [path("f")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barrier_that_overtakes_the_inventory_is_answered_after_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for n in 0..2000 {
        fs::write(dir.path().join(format!("f{n}")), "x").expect("written");
    }
    with_server_b(dir.path(), async |at| {
        // The first look at everything is still under way when these arrive.
        let mut a = Coordinator::dial(at, 1).await.expect("let in");
        a.order(Order::Settle { id: OrderId(1) });
        a.order(Order::Inventory);
        a.order(Order::Settle { id: OrderId(2) });
        let mut told = false;
        for want in [1, 2] {
            while a
                .report(|report| match report {
                    Report::Inventory { last, .. } => Some(last.then_some(0)),
                    Report::Settled { id } => Some(Some(id.0)),
                    _ => None,
                })
                .await
                .inspect(|what| told |= *what == 0)
                != Some(want)
            {}
            assert!(told, "the barrier is passed when everything before it was told");
        }
    })
    .await;
}
