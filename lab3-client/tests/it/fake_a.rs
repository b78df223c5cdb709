//! A server A that says what a test tells it to, and the client run against it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::entry::Kind;
use common::identity::Identity;
use common::identity::trusted::Standing;
use common::path::RelPath;
use common::time::Timestamp;
use common::wire::client::{
    Answer, Generation, HeldOp, HeldRow, Link, ListingPart, ListingRow, LockRow, Request, State,
    WaitingRow,
};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::lobby::Lobby;
use common::wire::message::{Hello, Role};
use common::wire::secure::receive;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::people::shared;

/// What the fake does next.
#[expect(clippy::large_enum_variant, reason = "a script is a few steps")]
#[derive(Clone)]
pub(crate) enum Step {
    Say(Answer),
    /// Go on when the test says so.
    Await(Arc<Notify>),
    /// Close the connection.
    Close,
}

/// A scripted server A.
pub(crate) struct FakeA {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Request>>>,
    _runtime: Runtime,
}

impl FakeA {
    /// Gives this answer to every request.
    pub(crate) fn answering(answer: Answer) -> FakeA {
        FakeA::start(Role::Coordinator, move |_| vec![Step::Say(answer.clone())])
    }

    /// Runs a script for every request.
    pub(crate) fn start(
        role: Role,
        script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> FakeA {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let identity = Arc::new(Identity::open(Some(&shared())).expect("an identity"));
        let lobby = Lobby::default();
        let (log, script) = (asked.clone(), Arc::new(script));
        runtime.spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (log, script, identity) = (log.clone(), script.clone(), identity.clone());
                let guest = lobby.enter(from.ip());
                tokio::spawn(async move {
                    let ours = Hello::new(role, None);
                    let least = (&*identity, Standing::Own);
                    let greeted = receive(stream, guest, least, HANDSHAKE_TIME, |theirs| {
                        assert_eq!(theirs.role, Role::Client);
                        Ok(ours)
                    });
                    let (out, mut requests) = greeted.await.expect("a client").0.start();
                    let Ok(request) = requests.next().await else { return };
                    let steps = script(&request);
                    log.lock().expect("not poisoned").push(request);
                    for step in steps {
                        match step {
                            Step::Say(answer) => out.send_bulk(&answer).await.expect("said"),
                            Step::Await(sign) => sign.notified().await,
                            Step::Close => return,
                        }
                    }
                    let _ = requests.next().await;
                });
            }
        });
        FakeA { address, asked, _runtime: runtime }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// The client, with an empty memory of its own.
pub(crate) struct Lab3 {
    pub(crate) cache: TempDir,
    server: String,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Lab3 {
    /// A client of this server.
    pub(crate) fn of(server: &str) -> Lab3 {
        Lab3 { cache: TempDir::new().expect("a folder"), server: server.to_owned() }
    }

    /// The command, to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab3"));
        command
            .args(args)
            .env_clear()
            .env("TZ", "UTC")
            .env("LAB3_SERVER", &self.server)
            .env("LAB3_CACHE_DIR", self.cache.path())
            .env("LAB3_IDENTITY", shared())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the client runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cli").join(name)
}

pub(crate) fn path(text: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(text).expect("a path")
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds: 1_795_255_800 + seconds, nanos: 123_000_000 }
}

pub(crate) const GENERATION: Generation = Generation { epoch: 77, number: 42 };

pub(crate) fn row(name: impl AsRef<[u8]>, size: u64, state: State) -> ListingRow {
    ListingRow {
        path: path(name),
        kind: Kind::File,
        size,
        modified: time(0),
        state,
        lock: None,
        held: 0,
    }
}

pub(crate) fn part(rows: Vec<ListingRow>, last: bool) -> Answer {
    Answer::Listing(ListingPart { generation: GENERATION, b: Link::Connected, rows, last })
}

pub(crate) fn lock(name: &str) -> LockRow {
    LockRow {
        id: 4,
        path: path(name),
        holder: "bob@mill".to_owned(),
        since: time(1),
        comment: Some("editing".to_owned()),
        expires: None,
        held: 2,
        draining: false,
    }
}

pub(crate) fn edit(seq: u64, op: HeldOp, size: u64) -> HeldRow {
    HeldRow { seq, path: path("report.txt"), op, size, time: time(2) }
}

pub(crate) fn waits(name: &str) -> WaitingRow {
    WaitingRow {
        path: path(name),
        side: Some(common::side::Side::B),
        reason: "waiting for its writer".to_owned(),
        since: time(3),
        next_try: Some(time(4)),
    }
}
