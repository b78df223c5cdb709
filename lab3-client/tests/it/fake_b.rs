//! A server B that says what a test wants, to a real server A that dials it.
//!
//! It answers every order as an agent would that has nothing to do for it, unless the test's own
//! part has said something else. That part is called with every message that A sends, so whatever
//! a test wants to be said it says when A asks for something, if need be because a client made it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use common::change::{Operation, Outcome};
use common::entry::Entry;
use common::path::RelPath;
use common::wire::message::{
    Give, Given, Hello, Observation, Order, PeerMessage, ReplicaId, Report, Role, Row,
};

use crate::raw::{Host, Raw};
use crate::system::System;

/// What the test's own part has to say to a message: whether it answered it.
pub(crate) trait Part: FnMut(&mut Raw, &PeerMessage) -> bool + Send + 'static {}
impl<P: FnMut(&mut Raw, &PeerMessage) -> bool + Send + 'static> Part for P {}

/// A server B in the place of the real one.
pub(crate) struct FakeB {
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl FakeB {
    /// Takes the place of server B, and starts server A.
    pub(crate) fn before(
        system: &mut System,
        rows: Vec<(RelPath, Entry)>,
        part: impl Part,
    ) -> FakeB {
        let hello = Hello::new(Role::Agent, Some(ReplicaId(9)));
        FakeB::saying(system, hello, rows, part)
    }

    /// The same, introduced with these words.
    pub(crate) fn saying(
        system: &mut System,
        hello: Hello,
        rows: Vec<(RelPath, Entry)>,
        mut part: impl Part,
    ) -> FakeB {
        let port = system.port_b;
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port of ours");
        let connections = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (count, end, host) = (connections.clone(), over.clone(), Host::of(system));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                let Some(mut raw) = host.accept(&listener, &hello) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                while !end.load(Ordering::SeqCst)
                    && let Some(message) = raw.hear::<PeerMessage>()
                {
                    if !part(&mut raw, &message) {
                        answer(&mut raw, &message, &rows);
                    }
                }
            }
        });
        system.start_a();
        FakeB { connections, over, port, thread: Some(thread) }
    }

    /// How many connections there were: a second one says that A gave up the first.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeB {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Whoever waits for a connection gets one.
        drop(std::net::TcpStream::connect(("127.0.0.1", self.port)));
        // A speaks now and then, so one that listens notices soon.
        if let Some(thread) = self.thread.take() {
            drop(thread);
        }
    }
}

/// What an agent says that has nothing to do.
pub(crate) fn answer(raw: &mut Raw, message: &PeerMessage, rows: &[(RelPath, Entry)]) {
    let report = match message {
        PeerMessage::Order(Order::Inventory) => {
            Report::Inventory { rows: rows.to_vec(), problems: Vec::new(), last: true }
        }
        PeerMessage::Order(Order::Settle { id }) => Report::Settled { id: *id },
        PeerMessage::Order(Order::Sync { id, .. }) => Report::Synced { id: *id, durable: true },
        PeerMessage::Order(Order::Meet { number }) => Report::Met { number: *number },
        PeerMessage::Order(Order::Commit { id, operation, .. }) => {
            let now = match operation {
                Operation::Change(change) => change.after.clone(),
                Operation::Rename { before, .. } => Some(before.clone()),
                Operation::Clear { .. } => None,
            };
            Report::Outcome { id: *id, outcome: Outcome::Done { now, aside: None }, spent: None }
        }
        PeerMessage::Order(Order::ListTrash { id, .. }) => {
            Report::Trash { id: *id, rows: Ok(Vec::new()), left_out: 0, last: true }
        }
        PeerMessage::Order(Order::FindTrash { id, .. }) => {
            Report::TrashFound { id: *id, found: Ok(None) }
        }
        PeerMessage::Ask(ask) => {
            raw.say(&PeerMessage::Give(Give { id: ask.id, given: Given::Gone }));
            return;
        }
        PeerMessage::Ping => {
            raw.say(&PeerMessage::Pong);
            return;
        }
        _ => return,
    };
    raw.say(&PeerMessage::Report(report));
}

/// One thing that is seen now.
pub(crate) fn seen(path: RelPath, entry: Option<Entry>, content: Option<&[u8]>) -> PeerMessage {
    let content = content.map(|bytes| serde_bytes::ByteBuf::from(bytes.to_vec()));
    let rows = vec![Row { path, entry, content, seen: None }];
    PeerMessage::Report(Report::Observed(Observation { rows, ..Observation::default() }))
}
