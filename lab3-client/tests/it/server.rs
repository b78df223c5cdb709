//! One server as a real process: started, heard, told to stop, or killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use rustix::process::{Pid, Signal, kill_process};

/// The longest that anything may take here. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The last so many bytes of what a server said are shown when a test fails.
const SHOWN_BYTES: usize = 60000;

/// Waits until something holds; fails with what it was when it never does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// The binary of a server, beside that of the client. `cargo test --workspace` builds it.
pub(crate) fn binary(name: &str) -> PathBuf {
    static LOOKED: OnceLock<()> = OnceLock::new();
    let client = Path::new(env!("CARGO_BIN_EXE_lab3"));
    LOOKED.get_or_init(|| {
        if ["server-a", "server-b"].iter().all(|name| client.with_file_name(name).exists()) {
            return;
        }
        eprintln!("the servers are not built yet: running `cargo build --workspace`, once");
        let mut build = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        build.args(["build", "--workspace", "--bins"]);
        if client.parent().is_some_and(|dir| dir.ends_with("release")) {
            build.arg("--release");
        }
        let target = client.ancestors().nth(2).expect("a target directory");
        build.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target);
        assert!(build.status().expect("cargo runs").success(), "the servers cannot be built");
    });
    client.with_file_name(name)
}

/// A port that only this test has, also while no server listens there: a socket that is bound keeps
/// it from everybody else, and lets who asks to use the address once more listen.
pub(crate) struct Port {
    pub(crate) number: u16,
    _kept: OwnedFd,
}

impl Port {
    pub(crate) fn free() -> Port {
        let kept = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        bind(&kept, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        set_socket_reuseaddr(&kept, true).expect("an option");
        let bound = getsockname(&kept).expect("an address");
        let number = SocketAddrV4::try_from(bound).expect("an address of this family").port();
        Port { number, _kept: kept }
    }
}

/// The threads of a process, and where in the kernel each one waits.
fn threads(pid: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let about = |task: fs::DirEntry| {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        format!("{} in {}\n{}", read("comm").trim_end(), read("wchan"), read("stack"))
    };
    tasks.map(about).collect()
}

/// A running server.
pub(crate) struct Server {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Server {
    /// Starts it; does not wait for it to be ready.
    pub(crate) fn spawn(mut command: Command, logs: &Path, name: &str) -> Server {
        let number = fs::read_dir(logs).expect("the logs").count() / 2;
        let file = |kind: &str| logs.join(format!("{number:02}-{name}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        command
            .env("TZ", "UTC")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a log"))
            .stderr(File::create(&err).expect("a log"));
        let child = command.spawn().expect("the server starts");
        Server { name: name.to_owned(), child, out, err }
    }

    /// Waits for the ready line of this program; answers it.
    pub(crate) fn ready(&mut self, program: &str) -> String {
        let start = format!("{program} ready: ");
        let mut line = None;
        until("the ready line", || {
            line = self.said().lines().find(|line| line.starts_with(&start)).map(str::to_owned);
            let ended = self.child.try_wait().expect("a child");
            assert!(line.is_some() || ended.is_none(), "{} ended: {ended:?}", self.name);
            line.is_some()
        });
        line.expect("found above")
    }

    /// Everything that it said on stdout.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).expect("a log")).into_owned()
    }

    /// Everything that it said on stderr.
    pub(crate) fn complained(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).expect("a log")).into_owned()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&self, words: &str) {
        until(&format!("{} says `{words}`", self.name), || self.said().contains(words));
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is running");
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end; when it never comes, says what each thread does instead.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            let threads = || threads(self.child.id());
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, threads());
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends it with SIGTERM, and requires a clean end.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{} ended: {status}", self.name);
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        if self.has_ended().is_none() {
            self.signal(Signal::KILL);
        }
        let status = self.ended();
        assert_eq!(status.signal(), Some(9), "{} ended by itself: {status}", self.name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for file in [&self.out, &self.err] {
                let text = fs::read(file).unwrap_or_default();
                let tail = &text[text.len().saturating_sub(SHOWN_BYTES)..];
                eprintln!("=== {}:\n{}", file.display(), String::from_utf8_lossy(tail));
            }
        }
    }
}
