//! Both servers in one process: `lab3 up DIR_A DIR_B`.
#![expect(clippy::disallowed_methods, reason = "two servers run at once")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use common::options::{ReplicaOptions, TalkOptions};
use common::replica::place::Place;
use common::talk;
use server_a::cli::LimitOptions;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

/// What to run on.
#[derive(Debug, Args)]
pub struct UpOptions {
    /// Server A's directory
    pub dir_a: PathBuf,
    /// Server B's directory
    pub dir_b: PathBuf,
    /// Where server A listens for clients
    #[arg(long, value_name = "HOST:PORT", default_value = crate::request::DEFAULT_SERVER)]
    pub listen: SocketAddr,
    /// When to stop and ask
    #[command(flatten)]
    pub limits: LimitOptions,
    /// How the directories are cared for
    #[command(flatten)]
    pub replica: ReplicaOptions,
    /// How the servers speak
    #[command(flatten)]
    pub talk: TalkOptions,
}

/// Runs both servers until they are told to stop.
pub fn run_both_servers(options: &UpOptions, identity: Option<&Path>) -> Result<()> {
    if let Some(why) = clash(&options.dir_a, &options.dir_b) {
        bail!(why);
    }
    common::sys::keep_one_heap();
    let voice = talk::start(options.talk.volume(), options.talk.format());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let end = runtime.block_on(run(options, identity));
    drop(voice);
    end
}

async fn run(options: &UpOptions, identity: Option<&Path>) -> Result<()> {
    let (stop_a, a_stopped) = watch::channel(false);
    let (stop_b, b_stopped) = watch::channel(false);
    let (bound, peer) = oneshot::channel();
    let mut b = tokio::spawn(server_b::run(
        server_b::Config {
            directory: options.dir_b.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity: identity.map(Path::to_owned),
            replica: of_side(&options.replica, "b"),
        },
        told(b_stopped),
        |address, directory| {
            talk::ready(&format!("server-b ready: peer {address}, directory {directory}"));
            // Nobody waits when A could not start either.
            let _ = bound.send(address);
        },
    ));
    let peer = tokio::select! {
        peer = peer => peer,
        end = &mut b => return end?,
    };
    let Ok(peer) = peer else { return b.await? };
    let mut a = tokio::spawn(server_a::run(
        server_a::Config {
            directory: options.dir_a.clone(),
            listen: options.listen,
            peer: peer.to_string(),
            identity: identity.map(Path::to_owned),
            limits: options.limits.limits(),
            held: options.limits.held(),
            journal_bytes: options.limits.journal_bytes(),
            check_every: options.limits.check_every(),
            replica: of_side(&options.replica, "a"),
        },
        told(a_stopped),
        move |address, directory| {
            talk::ready(&format!(
                "server-a ready: clients {address}, peer {peer}, directory {directory}"
            ));
        },
    ));
    let signalled = common::stop::signalled()?;
    let (first, a_ended) = tokio::select! {
        () = signalled => (Ok(()), None),
        end = &mut a => (end?, Some(true)),
        end = &mut b => (end?, Some(false)),
    };
    // Whichever still runs ends, too; A first, while B can still say what is durable.
    stop_a.send_replace(true);
    if a_ended != Some(true) {
        a.await??;
    }
    stop_b.send_replace(true);
    if a_ended != Some(false) {
        b.await??;
    }
    first
}

/// Why the two must not be joined. Ones that are not there are refused by their servers.
fn clash(a: &Path, b: &Path) -> Option<String> {
    let (a, b) = (a.canonicalize().ok()?, b.canonicalize().ok()?);
    Some(Place::of(&a)?.clash(&Place::of(&b)?)?.words(&a))
}

/// Each side has a state directory of its own below the one that was given.
fn of_side(options: &ReplicaOptions, side: &str) -> ReplicaOptions {
    let state_dir = options.state_dir.as_ref().map(|dir| dir.join(side));
    ReplicaOptions { state_dir, ..options.clone() }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // When the sender is gone, it is over as well.
    drop(stopped.wait_for(|stop| *stop).await);
}
