//! Two directories and the real servers that care for them: started, asked, stopped. No port is
//! chosen here: the servers take free ones and say which.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "directories, processes, and time"
)]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::programs::{self, Programs};
use crate::proxy::Proxy;
use crate::shape::Shape;
use crate::usage::Usage;

/// The longest that a server may take to be ready or to end.
const START_TIME: Duration = Duration::from_secs(120);

/// A running server; killed when it is dropped.
struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(mut command: Command, name: &'static str, log: PathBuf) -> Result<Server> {
        let out = File::create(&log).with_context(|| format!("`{}`", log.display()))?;
        let errors = out.try_clone()?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let child = command.spawn().with_context(|| format!("`{name}` cannot be started"))?;
        Ok(Server { name, child, log })
    }

    /// Waits for its ready line; answers the address after this word in it.
    fn ready(&mut self, word: &str) -> Result<SocketAddr> {
        let start = format!("{} ready: ", self.name);
        let deadline = Instant::now() + START_TIME;
        loop {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.into_iter().find(|line| line.starts_with(&start)) {
                let address = line.split(&format!("{word} ")).nth(1).unwrap_or_default();
                let address = address.split([',', '\n']).next().unwrap_or_default();
                return address.parse().with_context(|| format!("no address in `{line}`"));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status}: {}", self.name, said.trim());
            }
            if Instant::now() > deadline {
                bail!("`{}` is not ready: {}", self.name, said.trim());
            }
            sleep(Duration::from_millis(1));
        }
    }

    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("`{}` ended with {status}", self.name);
                }
                return Ok(());
            }
            sleep(Duration::from_millis(1));
        }
        bail!("`{}` does not end", self.name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two directories and their servers.
pub(crate) struct Pair {
    /// A's directory.
    pub(crate) a: PathBuf,
    /// B's directory.
    pub(crate) b: PathBuf,
    base: PathBuf,
    programs: Programs,
    options: Vec<String>,
    /// Further options of server A.
    pub(crate) options_a: Vec<String>,
    servers: Option<(Server, Server)>,
    clients: Option<SocketAddr>,
    starts: usize,
}

impl Pair {
    /// Two empty directories below this one, which is made; no server yet.
    pub(crate) fn new(base: &Path, programs: &Programs, relaxed: bool) -> Result<Pair> {
        let (a, b) = (base.join("a"), base.join("b"));
        for directory in [&a, &b] {
            fs::create_dir_all(directory).with_context(|| format!("`{}`", directory.display()))?;
        }
        let durability = if relaxed { "relaxed" } else { "strict" };
        Ok(Pair {
            a,
            b,
            base: base.to_owned(),
            programs: programs.clone(),
            options: vec!["--durability".to_owned(), durability.to_owned()],
            options_a: Vec::new(),
            servers: None,
            clients: None,
            starts: 0,
        })
    }

    /// Starts both servers, and waits until both are ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.start_through(|peer| Ok((peer, None))).map(|_| ())
    }

    /// The same, with something between them that counts what passes.
    pub(crate) fn start_counted(&mut self) -> Result<Proxy> {
        self.start_between(None)
    }

    /// The same, with something between them that is slow.
    pub(crate) fn start_shaped(&mut self, shape: Shape) -> Result<Proxy> {
        self.start_between(Some(shape))
    }

    fn start_between(&mut self, shape: Option<Shape>) -> Result<Proxy> {
        let proxy = self.start_through(|peer| {
            let proxy = Proxy::start(peer, shape)?;
            Ok((proxy.address, Some(proxy)))
        })?;
        proxy.context("there is no proxy")
    }

    fn start_through(
        &mut self,
        between: impl FnOnce(SocketAddr) -> Result<(SocketAddr, Option<Proxy>)>,
    ) -> Result<Option<Proxy>> {
        self.starts += 1;
        let log = |name: &str| self.base.join(format!("{name}-{}.log", self.starts));
        let mut command = self.at_home(&self.programs.server_b)?;
        command.arg(&self.b).args(["--listen", "127.0.0.1:0"]).args(&self.options);
        let mut b = Server::start(command, "server-b", log("server-b"))?;
        let (peer, proxy) = between(b.ready("peer")?)?;
        let mut command = self.at_home(&self.programs.server_a)?;
        command.arg(&self.a).args(["--listen", "127.0.0.1:0", "--peer", &peer.to_string()]);
        command.args(&self.options).args(&self.options_a);
        let mut a = Server::start(command, "server-a", log("server-a"))?;
        self.clients = Some(a.ready("clients")?);
        self.servers = Some((a, b));
        Ok(proxy)
    }

    /// A program with an identity of these servers' own, and no socket of anybody else's.
    fn at_home(&self, program: &Path) -> Result<Command> {
        let run = self.base.join("run");
        fs::create_dir_all(&run).with_context(|| format!("`{}`", run.display()))?;
        let mut command = Command::new(program);
        command.env("LAB3_IDENTITY", self.base.join("identity")).env("XDG_RUNTIME_DIR", run);
        Ok(command)
    }

    /// Ends both servers as a user would.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some((a, b)) = self.servers.take() {
            a.stop()?;
            b.stop()?;
        }
        Ok(())
    }

    /// The client, to be run against A.
    pub(crate) fn lab3(&self, arguments: &[&str]) -> Result<Command> {
        let address = self.clients.context("the servers are not running")?;
        let mut command = self.at_home(&self.programs.lab3)?;
        command.args(arguments).env("LAB3_SERVER", address.to_string());
        command.env("LAB3_CACHE_DIR", self.base.join("cache")).stdin(Stdio::null());
        Ok(command)
    }

    /// Waits until both sides have agreed on everything, and that is on their disks.
    pub(crate) fn settle(&self, patience: Duration) -> Result<()> {
        let timeout = format!("{}s", patience.as_secs().max(1));
        programs::run(&mut self.lab3(&["wait", "--timeout", &timeout])?)
    }

    /// What the two servers use, together.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let (a, b) = self.servers.as_ref().context("the servers are not running")?;
        Ok(Usage::of(a.child.id())? + Usage::of(b.child.id())?)
    }
}
