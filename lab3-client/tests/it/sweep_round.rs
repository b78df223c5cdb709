//! One round of a sweep: two servers, users with a model of what they wrote, one server that may
//! end at a call, and the laws that hold after it was started again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::side::Side;
use rustix::process::Signal;

use crate::fake_a::Ran;
use crate::server::{PATIENCE, Server, until};
use crate::sweep_reader::Reader;
use crate::sweep_strace::{Strace, let_go, stands_still, threads, traced};
use crate::system::System;
use crate::trees;

/// How long a call that is awaited may still come after both sides agree. Only for coverage: what
/// comes later is not hit, and nothing is concluded from it.
const LATE: Duration = Duration::from_millis(100);

/// After so long somebody asks why a call that fails stops everything.
const STUCK: Duration = Duration::from_millis(400);

/// What users want at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    File(Vec<u8>),
    Dir,
    Link(Vec<u8>),
}

/// Two servers and their users.
pub(crate) struct Round {
    pub(crate) system: System,
    /// The server that calls are counted of.
    pub(crate) target: Side,
    /// What users do when they find that server gone.
    pub(crate) meanwhile: Option<fn(&mut Round)>,
    /// Whether they do that.
    pub(crate) goes_on: bool,
    /// Calls of it fail, until nothing more goes on.
    pub(crate) fails: bool,
    /// What cannot be removed stays in `stage/` until the next start.
    pub(crate) leaves: bool,
    /// It came to that: the error was to be seen, and was taken away.
    pub(crate) healed: bool,
    /// How often it ended.
    pub(crate) kills: u32,
    /// With which tracers it is started again, the next one last; then with none.
    pub(crate) again: Vec<Vec<String>>,
    /// Conflict copies that nobody asked for.
    pub(crate) extra: usize,
    /// The threads that it had when they were counted.
    pub(crate) threads: BTreeMap<i32, String>,
    strace: Option<Strace>,
    pub(crate) want: BTreeMap<String, Want>,
    /// Conflict copies that users asked for: the name they had, and their content.
    pub(crate) beside: Vec<(String, Vec<u8>)>,
    pub(crate) written: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    /// What users overwrote before anybody else had it.
    pub(crate) given_up: RefCell<BTreeSet<Vec<u8>>>,
    scratch: u32,
    pub(crate) readers: Vec<Reader>,
}

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== what was said in this round:");
            let logs = fs::read_dir(self.system.dir.path().join("logs"));
            let mut logs: Vec<_> = logs.into_iter().flatten().flatten().collect();
            logs.sort_by_key(fs::DirEntry::file_name);
            for log in logs {
                let said = fs::read_to_string(log.path()).unwrap_or_default();
                eprintln!("--- {}\n{said}", log.file_name().display());
            }
        }
    }
}

impl Round {
    pub(crate) fn new(target: Side) -> Round {
        Round {
            system: System::new(),
            target,
            meanwhile: None,
            goes_on: false,
            fails: false,
            leaves: false,
            healed: false,
            kills: 0,
            again: Vec::new(),
            extra: 0,
            threads: BTreeMap::new(),
            strace: None,
            want: BTreeMap::new(),
            beside: Vec::new(),
            written: Arc::default(),
            given_up: RefCell::default(),
            scratch: 0,
            readers: Vec::new(),
        }
    }

    /// A user saves a file, as editors do: written aside, renamed over.
    pub(crate) fn save(&mut self, side: Side, name: &str, content: impl AsRef<[u8]>) {
        self.save_as(side, name, content.as_ref(), None);
    }

    /// A user saves a file that looks last modified so many seconds after the epoch.
    pub(crate) fn save_at(&mut self, side: Side, name: &str, content: &str, seconds: u64) {
        self.save_as(side, name, content.as_bytes(), Some(seconds));
    }

    fn save_as(&mut self, side: Side, name: &str, content: &[u8], seconds: Option<u64>) {
        self.written.lock().expect("no panic").insert(content.to_vec());
        self.scratch += 1;
        let aside = format!("scratch-{}", self.scratch);
        let dir = self.system.dir.path();
        fs::write(dir.join(&aside), content).expect("written");
        if let Some(seconds) = seconds {
            trees::set_modified(dir, &aside, Duration::from_secs(seconds));
        }
        self.gives_up(side, name);
        let parent = Path::new(name).parent().and_then(Path::to_str).unwrap_or_default();
        if !parent.is_empty() {
            self.dirs(side, parent);
        }
        let place = self.system.root(side).join(name);
        fs::rename(self.system.dir.path().join(aside), place).expect("saved");
        self.want.insert(name.to_owned(), Want::File(content.to_vec()));
    }

    /// A user makes directories.
    pub(crate) fn dirs(&mut self, side: Side, name: &str) {
        fs::create_dir_all(self.system.root(side).join(name)).expect("directories");
        for part in Path::new(name).ancestors().filter_map(Path::to_str) {
            if !part.is_empty() {
                self.want.insert(part.to_owned(), Want::Dir);
            }
        }
    }

    /// A user makes a link.
    pub(crate) fn link(&mut self, side: Side, target: &str, name: &str) {
        trees::link(self.system.root(side), target, name);
        self.want.insert(name.to_owned(), Want::Link(target.into()));
    }

    /// A version that its own side overwrites or removes before the other side had it is gone.
    fn gives_up(&self, side: Side, name: &str) {
        let mine = fs::read(self.system.root(side).join(name));
        let theirs = fs::read(self.system.root(side.other()).join(name));
        if let Ok(mine) = mine
            && theirs.is_ok_and(|theirs| theirs != mine)
        {
            self.given_up.borrow_mut().insert(mine);
        }
    }

    /// A user removes something.
    pub(crate) fn remove(&mut self, side: Side, name: &str) {
        self.gives_up(side, name);
        trees::remove(self.system.root(side), name);
        let below = format!("{name}/");
        self.want.retain(|path, _| path != name && !path.starts_with(&below));
    }

    /// A user renames something.
    pub(crate) fn rename(&mut self, side: Side, from: &str, to: &str) {
        trees::rename(self.system.root(side), from, to);
        let below = format!("{from}/");
        let moved = std::mem::take(&mut self.want).into_iter().map(|(path, want)| {
            let is_moved = path == from || path.starts_with(&below);
            (if is_moved { path.replacen(from, to, 1) } else { path }, want)
        });
        self.want = moved.collect();
    }

    /// A user's version gives way to the other's, and is to be found beside the name.
    pub(crate) fn gives_way(&mut self, name: &str, content: &str, winner: &str) {
        self.beside.push((name.to_owned(), content.as_bytes().to_vec()));
        self.want.insert(name.to_owned(), Want::File(winner.as_bytes().to_vec()));
    }

    /// From now on somebody reads this file on both sides, all the time.
    pub(crate) fn read_always(&mut self, name: &str) {
        for side in Side::BOTH {
            let path = self.system.root(side).join(name);
            self.readers.push(Reader::start(path, self.written.clone()));
        }
    }

    /// Holds the threads of the running target with this name.
    pub(crate) fn trace(&mut self, thread: &str, options: &[String]) {
        let process = self.system.server(self.target).pid();
        self.threads = threads(process);
        self.strace = Strace::attach(process, thread, options);
    }

    /// Nobody traces any more.
    pub(crate) fn untrace(&mut self) {
        self.strace = None;
        if !self.is_gone() {
            let_go(self.system.server(self.target).pid());
        }
    }

    fn server(&mut self) -> Option<&mut Server> {
        match self.target {
            Side::A => self.system.server_a.as_mut(),
            Side::B => self.system.server_b.as_mut(),
        }
    }

    /// Starts the target under `strace`; answers whether it lived to say that it is ready.
    pub(crate) fn start_traced(&mut self, options: &[String]) -> bool {
        let (command, name) = match self.target {
            Side::A => (self.system.command_a(), "server-a"),
            Side::B => (self.system.command_b(), "server-b"),
        };
        let logs = self.system.dir.path().join("logs");
        let server = Server::spawn(traced(&command, options), &logs, name);
        let slot = match self.target {
            Side::A => &mut self.system.server_a,
            Side::B => &mut self.system.server_b,
        };
        let server = slot.insert(server);
        let mut lives = false;
        until("it is ready or gone", || {
            lives = server.said().contains(" ready: ");
            lives || server.has_ended().is_some()
        });
        lives && server.has_ended().is_none()
    }

    /// Whether the target is gone.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.server().is_none_or(|server| server.has_ended().is_some())
    }

    /// Starts the target again when it is gone; answers whether it was.
    pub(crate) fn revive(&mut self) -> bool {
        if !self.is_gone() {
            return false;
        }
        self.bury();
        match self.again.pop() {
            Some(options) => {
                self.start_traced(&options);
            }
            None => self.system.restart(&[self.target]),
        }
        true
    }

    /// Takes the target that is gone away. It must have been killed, and nothing else.
    pub(crate) fn bury(&mut self) {
        self.strace = None;
        if let Some(server) = match self.target {
            Side::A => self.system.server_a.take(),
            Side::B => self.system.server_b.take(),
        } {
            server.kill();
            self.kills += 1;
            if let Some(meanwhile) = self.meanwhile.take() {
                meanwhile(self);
            }
        }
    }

    /// Runs the client until it is heard. A server that went away while it was asked is started
    /// again, and asked again: then it may answer that it is done already.
    pub(crate) fn command(&mut self, args: &[&str]) -> Ran {
        for asked in 0.. {
            let ran = self.system.lab3(args);
            if ran.code == 3 && !self.fails {
                until("the target is gone", || self.is_gone());
            }
            if self.fails && ran.code != 0 && !self.healed {
                self.heal();
                continue;
            }
            if self.revive() && ran.code != 0 {
                continue;
            }
            assert!(ran.code == 0 || (asked > 0 && ran.code == 1), "lab3 {args:?}: {ran:?}");
            return ran;
        }
        unreachable!("a target ends at most once at its call");
    }

    /// Waits until so many edits are held.
    pub(crate) fn until_held(&mut self, count: usize) {
        let begun = Instant::now();
        let deadline = begun + PATIENCE;
        loop {
            self.revive();
            self.heal_when_stuck(begun);
            let ran = self.system.lab3(&["held", "--json"]);
            if ran.code == 0 && ran.out.matches("\"seq\"").count() == count {
                return;
            }
            assert!(Instant::now() < deadline, "in vain waited for {count} held edits: {ran:?}");
        }
    }

    /// Waits until everything is on both sides, whether or not the target ends meanwhile.
    pub(crate) fn settle(&mut self) {
        while !self.settle_or_gone() {
            self.revive();
        }
    }

    /// Waits until everything is on both sides, or the target is gone; answers whether it lives.
    pub(crate) fn settle_or_gone(&mut self) -> bool {
        let begun = Instant::now();
        let deadline = begun + PATIENCE;
        loop {
            self.heal_when_stuck(begun);
            let mut wait = self.system.client("ann@mill", &["wait", "--timeout", "60s"]);
            wait.stdout(Stdio::null()).stderr(Stdio::null());
            let mut wait = wait.spawn().expect("the client runs");
            let ended = loop {
                if let Some(status) = wait.try_wait().expect("a child") {
                    break status.code();
                }
                if self.is_gone() {
                    let _ = wait.kill();
                    break wait.wait().expect("a child").code();
                }
                if self.fails && self.strace.is_some() && begun.elapsed() > STUCK {
                    let _ = wait.kill();
                }
                sleep(Duration::from_millis(1));
            };
            if ended == Some(3) && !self.fails {
                until("server A, which does not answer, is gone", || self.is_gone());
            }
            if ended == Some(0) || self.is_gone() {
                return !self.is_gone();
            }
            // Something waits for its next try.
            if Instant::now() > deadline {
                panic!("it does not settle: {:?}", self.system.lab3(&["status"]));
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn heal_when_stuck(&mut self, begun: Instant) {
        if self.fails && self.strace.is_some() && begun.elapsed() > STUCK {
            self.heal();
        }
    }

    /// Nothing goes on: then somebody is told why. After that nothing fails any more.
    fn heal(&mut self) {
        let signs = ["waits: ", "problem: ", "halted", "is away", "degraded", "cannot"];
        until("a reason why nothing goes on, or the end of it", || {
            let status = self.system.lab3(&["status"]);
            let wait = self.system.lab3(&["wait", "--timeout", "1s"]);
            signs.iter().any(|sign| status.out.contains(sign) || wait.err.contains(sign))
                || wait.code == 0
        });
        self.strace = None;
        self.healed = true;
    }

    /// Tells the target to stop. When it did so before its call, it is started again.
    pub(crate) fn end(&mut self) {
        let server = self.server().expect("it runs");
        server.signal(Signal::TERM);
        let status = server.ended();
        if status.signal() != Some(9) {
            assert_eq!(status.code(), Some(0), "a clean stop");
            self.strace = None;
            self.system.restart(&[self.target]);
        }
    }

    /// Holds both servers still, so that two users can act at the same time.
    pub(crate) fn pause(&mut self) {
        self.signal_both(Signal::STOP);
        for server in [&mut self.system.server_a, &mut self.system.server_b].into_iter().flatten() {
            until("it stands still", || server.has_ended().is_some() || stands_still(server.pid()));
        }
    }

    /// Lets both go on.
    pub(crate) fn go_on(&mut self) {
        self.signal_both(Signal::CONT);
    }

    fn signal_both(&mut self, signal: Signal) {
        for server in [&mut self.system.server_a, &mut self.system.server_b].into_iter().flatten() {
            if server.has_ended().is_none() {
                server.signal(signal);
            }
        }
    }

    /// Gives a call that comes late a moment to come.
    pub(crate) fn linger(&mut self) {
        let end = Instant::now() + LATE;
        while self.strace.is_some() && !self.is_gone() && Instant::now() < end {
            sleep(Duration::from_millis(1));
        }
    }

    /// A user sets permissions; both sides have them in the end.
    pub(crate) fn mode(&self, side: Side, name: &str) -> u32 {
        let about = fs::metadata(self.system.root(side).join(name)).expect("it is there");
        about.permissions().mode() & 0o7777
    }
}
