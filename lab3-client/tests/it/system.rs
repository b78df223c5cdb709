//! Both servers on two temporary directories, and the client run against them: all of them real
//! processes. A test says what users do in the directories and what must come of it.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::identity::Identity;
use common::side::{PerSide, Side};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake_a::{Ran, run};
use crate::people::{People, SERVERS};
use crate::server::{Port, Server, binary, until};
use crate::trees::{self, Node};

/// Two directories and what cares for them.
pub(crate) struct System {
    pub(crate) a: PathBuf,
    pub(crate) b: PathBuf,
    pub(crate) server_a: Option<Server>,
    pub(crate) server_b: Option<Server>,
    /// Further options of the servers.
    pub(crate) options_a: Vec<String>,
    pub(crate) options_b: Vec<String>,
    /// Where A dials B: B itself, unless a test puts something between.
    pub(crate) peer: u16,
    pub(crate) port_a: u16,
    pub(crate) port_b: u16,
    /// Who runs server B, if not who runs the test.
    pub(crate) user_b: Option<u32>,
    /// Who server B is, if not who server A is.
    pub(crate) identity_b: Option<PathBuf>,
    /// Where the servers listen.
    pub(crate) hosts: PerSide<String>,
    /// A command with its arguments through which the client is started.
    pub(crate) client_through: Vec<String>,
    /// Whose identities there are.
    pub(crate) people: People,
    /// A command with its arguments through which a server is started: `env TZ=Asia/Tokyo`.
    pub(crate) through: PerSide<Vec<String>>,
    _ports: [Port; 2],
    /// Last, so that the processes end before their directories go.
    pub(crate) dir: TempDir,
}

impl System {
    /// Two empty directories and no server.
    pub(crate) fn new() -> System {
        let dir = TempDir::with_prefix("lab3-it-").expect("a directory");
        for name in ["a", "b", "cache", "logs"] {
            DirBuilder::new().mode(0o755).create(dir.path().join(name)).expect("a directory");
        }
        let people = People::new();
        let ports = [Port::free(), Port::free()];
        let [port_a, port_b] = [ports[0].number, ports[1].number];
        System {
            a: dir.path().join("a"),
            b: dir.path().join("b"),
            server_a: None,
            server_b: None,
            options_a: Vec::new(),
            options_b: Vec::new(),
            peer: port_b,
            port_a,
            port_b,
            user_b: None,
            identity_b: None,
            hosts: PerSide { a: "127.0.0.1".to_owned(), b: "127.0.0.1".to_owned() },
            client_through: Vec::new(),
            people,
            through: PerSide::default(),
            _ports: ports,
            dir,
        }
    }

    /// Two empty directories in care.
    pub(crate) fn started() -> System {
        let mut system = System::new();
        system.start();
        system
    }

    /// The same, with both sides holding these files.
    pub(crate) fn holding(files: &[(&str, &str)]) -> System {
        let system = System::started();
        for (name, content) in files {
            trees::put(&system.a, name, content);
        }
        system.agree();
        system
    }

    /// Starts both servers.
    pub(crate) fn start(&mut self) {
        self.start_b();
        self.start_a();
    }

    /// Starts server A; answers its ready line.
    pub(crate) fn start_a(&mut self) -> String {
        let server = self.server_a.insert(Server::spawn(
            self.command_a(),
            &self.dir.path().join("logs"),
            "server-a",
        ));
        server.ready("server-a")
    }

    /// Starts server B; answers its ready line.
    pub(crate) fn start_b(&mut self) -> String {
        let server = self.server_b.insert(Server::spawn(
            self.command_b(),
            &self.dir.path().join("logs"),
            "server-b",
        ));
        server.ready("server-b")
    }

    pub(crate) fn command_a(&self) -> Command {
        let mut command = self.program(Side::A, binary("server-a"));
        command.arg(&self.a).args(["--listen", &format!("{}:{}", self.hosts.a, self.port_a)]);
        command.args(["--peer", &format!("{}:{}", self.hosts.b, self.peer)]);
        command.args(&self.options_a);
        self.at_home(&mut command, &self.people.place(SERVERS));
        command
    }

    pub(crate) fn command_b(&self) -> Command {
        let binary = binary("server-b");
        let mut command = match self.user_b {
            None => self.program(Side::B, binary),
            Some(id) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={id}"), &format!("--regid={id}")]);
                command.arg("--clear-groups").arg(binary);
                command
            }
        };
        command.arg(&self.b).args(["--listen", &format!("{}:{}", self.hosts.b, self.port_b)]);
        command.args(&self.options_b);
        let identity = match (self.user_b, &self.identity_b) {
            (Some(id), _) => self.people.of_user(id),
            (None, Some(place)) => place.clone(),
            (None, None) => self.people.place(SERVERS),
        };
        self.at_home(&mut command, &identity);
        command
    }

    /// The identity of the servers.
    pub(crate) fn identity(&self) -> Identity {
        self.people.identity(SERVERS)
    }

    /// Lets a program know nothing of who runs the test.
    pub(crate) fn at_home(&self, command: &mut Command, identity: &Path) {
        command.env("LAB3_IDENTITY", identity).env("XDG_RUNTIME_DIR", self.people.run());
    }

    fn program(&self, side: Side, binary: PathBuf) -> Command {
        through(&self.through[side], binary)
    }

    /// Starts a server that is expected to give up; answers how.
    pub(crate) fn fails(&self, command: Command) -> Ran {
        let mut server = Server::spawn(command, &self.dir.path().join("logs"), "failing");
        let code = server.ended().code().expect("no signal");
        Ran { code, out: server.said(), err: server.complained() }
    }

    /// Ends servers with SIGTERM.
    pub(crate) fn stop(&mut self, sides: &[Side]) {
        for side in sides {
            self.slot(*side).take().expect("it is running").stop();
        }
    }

    /// Ends a server with SIGKILL.
    pub(crate) fn kill(&mut self, side: Side) {
        self.slot(side).take().expect("it is running").kill();
    }

    /// Ends a server with SIGKILL, and starts it again before the kernel has taken it apart.
    pub(crate) fn kill_and_start(&mut self, side: Side) {
        let killed = self.slot(side).take().expect("it is running");
        killed.signal(Signal::KILL);
        self.restart(&[side]);
        killed.kill();
    }

    /// Starts servers again.
    pub(crate) fn restart(&mut self, sides: &[Side]) {
        for side in sides {
            match side {
                Side::A => self.start_a(),
                Side::B => self.start_b(),
            };
        }
    }

    fn slot(&mut self, side: Side) -> &mut Option<Server> {
        match side {
            Side::A => &mut self.server_a,
            Side::B => &mut self.server_b,
        }
    }

    /// A running server.
    pub(crate) fn server(&self, side: Side) -> &Server {
        match side {
            Side::A => self.server_a.as_ref().expect("A runs"),
            Side::B => self.server_b.as_ref().expect("B runs"),
        }
    }

    /// The directory of a side.
    pub(crate) fn root(&self, side: Side) -> &Path {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// The client, as somebody, to be run.
    pub(crate) fn client(&self, holder: &str, args: &[&str]) -> Command {
        let mut command = self.client_of(&self.people.client(holder), args);
        command.env("LAB3_CACHE_DIR", self.dir.path().join("cache").join(holder));
        command
    }

    /// The client with this identity, to be run.
    pub(crate) fn client_of(&self, identity: &Path, args: &[&str]) -> Command {
        let mut command = through(&self.client_through, env!("CARGO_BIN_EXE_lab3").into());
        command
            .args(args)
            .env_clear()
            .env("TZ", "UTC")
            .env("LAB3_SERVER", format!("{}:{}", self.hosts.a, self.port_a))
            .env("LAB3_CACHE_DIR", identity.join("cache"))
            .stdin(Stdio::null());
        self.at_home(&mut command, identity);
        command
    }

    /// Runs the client as somebody.
    pub(crate) fn lab3_as(&self, holder: &str, args: &[&str]) -> Ran {
        run(&mut self.client(holder, args))
    }

    /// Runs the client.
    pub(crate) fn lab3(&self, args: &[&str]) -> Ran {
        self.lab3_as("ann@mill", args)
    }

    /// Runs the client, which must do what it is asked; answers its stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.lab3(args);
        assert_eq!(ran.code, 0, "lab3 {args:?}: {ran:?}");
        ran.out
    }

    /// Runs the client with `--json`, and reads its answer.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).expect("JSON")
    }

    /// The entry of the listing with this name.
    #[track_caller]
    pub(crate) fn entry(&self, name: &str) -> Value {
        let listing = self.json(&[]);
        let entries = listing["entries"].as_array().expect("entries");
        entries.iter().find(|entry| entry["path"] == name).cloned().unwrap_or(Value::Null)
    }

    /// How many edits are held at a path or in all.
    #[track_caller]
    pub(crate) fn held(&self, of: &[&str]) -> Vec<Value> {
        let held = self.json(&[&["held"], of].concat());
        held["held"].as_array().expect("an array").clone()
    }

    /// Waits, through `lab3 wait`, until everything done before is on both sides.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let ran = self.lab3(&["wait", "--timeout", "60s"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Requires that the servers themselves find everything to be the same.
    #[track_caller]
    fn verify(&self) {
        let ran = self.lab3(&["verify", "--timeout", "60s"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Waits, and requires both directories to be equal; answers what is in them.
    #[track_caller]
    pub(crate) fn agree(&self) -> trees::Nodes {
        self.wait();
        let (a, b) = (trees::read(&self.a), trees::read(&self.b));
        let differing = trees::differences(&a, &b);
        if differing.is_empty() {
            self.verify();
            return a;
        }
        eprintln!("{}", self.lab3(&["status"]).out);
        for name in differing.iter().take(10) {
            let shown = String::from_utf8_lossy(name);
            eprintln!("{shown:?}:\n  A {:?}\n  B {:?}", a.get(*name), b.get(*name));
            eprintln!("{}", self.lab3(&["status", &shown]).out);
        }
        panic!("the directories differ at {} names", differing.len());
    }

    /// Waits, and requires both directories to hold these files, and no other.
    #[track_caller]
    pub(crate) fn agree_on(&self, files: &[(&str, &str)]) {
        let nodes = self.agree();
        let found: Vec<(&str, &str)> = nodes
            .iter()
            .filter_map(|(name, node)| match node {
                Node::File { content, .. } => Some((
                    std::str::from_utf8(name).expect("UTF-8"),
                    std::str::from_utf8(content).expect("UTF-8"),
                )),
                _ => None,
            })
            .collect();
        assert_eq!(found, files);
    }

    /// Lets so many files go, and be replaced, without a halt.
    pub(crate) fn losing_up_to(mut self, files: usize) -> System {
        self.options_a.extend(["--loss-files".into(), files.to_string()]);
        self
    }

    /// Does not wait for the disk: for tests with very many files.
    pub(crate) fn relaxed(mut self) -> System {
        for options in [&mut self.options_a, &mut self.options_b] {
            options.extend(["--durability".into(), "relaxed".into()]);
        }
        self
    }

    /// The paths that the status names with a reason, waiting or as a problem.
    #[track_caller]
    pub(crate) fn named(&self) -> BTreeMap<String, String> {
        let status = self.json(&["status"]);
        let rows = |list: &str, word: &'static str| {
            let rows = status[list].as_array().expect("rows").clone();
            rows.into_iter().map(move |row| {
                let text = |name: &str| row[name].as_str().expect("text").to_owned();
                (text("path"), text(word))
            })
        };
        rows("problems", "detail").chain(rows("waiting", "reason")).collect()
    }

    /// Waits until the client finds B there, or away.
    pub(crate) fn b_is(&self, word: &str) {
        until(&format!("B is {word}"), || {
            let ran = self.lab3(&["status", "--json"]);
            ran.code == 0 && ran.out.contains(&format!("\"b\":\"{word}\""))
        });
    }

    /// Waits until the status says a halt; answers its words.
    pub(crate) fn halted(&self) -> String {
        let mut why = None;
        until("a halt", || {
            why = self.json(&["status"])["halted"].as_str().map(str::to_owned);
            why.is_some()
        });
        why.expect("found above")
    }
}

/// A program, started through another one.
fn through(words: &[String], program: PathBuf) -> Command {
    let [first, rest @ ..] = words else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

/// A line that says loudly why a test did nothing.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

/// Whether the test may do what only root may.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
