//! Server B: an agent. It tells what its directory holds, gives content, and carries out what
//! server A decides. It has no opinion and keeps nothing that matters but the files themselves.

mod agent;
pub mod cli;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use common::exchange::asker::Asker;
use common::identity::Identity;
use common::options::ReplicaOptions;
use common::replica::service::{Claimed, Replica, Settings};
use common::side::Side;
use tokio::runtime::Builder;

/// What server B is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory to take into care.
    pub directory: PathBuf,
    /// Where to wait for server A.
    pub listen: SocketAddr,
    /// Where the identity lies; the user's own when absent.
    pub identity: Option<PathBuf>,
    /// How the directory is cared for.
    pub replica: ReplicaOptions,
}

/// Runs in a runtime of its own until SIGTERM or Ctrl-C.
pub fn run_until_stopped(config: Config) -> Result<()> {
    common::sys::keep_one_heap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _within = runtime.enter();
    runtime.block_on(run(config, common::stop::signalled()?, |address, directory| {
        common::stop::end_on_panic();
        common::talk::ready(&format!("server-b ready: peer {address}, directory {directory}"));
    }))
}

/// Runs until `stop` comes; calls `ready` with the bound address and the directory when A may
/// dial in.
#[expect(clippy::disallowed_methods, reason = "it opens sockets and starts threads")]
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr, String),
) -> Result<()> {
    let listen = config.listen;
    let identity = Arc::new(Identity::open(config.identity.as_deref())?);
    let asker = Arc::new(Asker::default());
    let desk = Arc::new(agent::Desk::default());
    let settings = Settings::new(Side::B, &config.directory, &config.replica);
    let (supplier, reporter) = (agent::supplier(asker.clone()), agent::reporter(desk.clone()));
    let opened = tokio::task::spawn_blocking(move || {
        let claimed = Claimed::take(settings)?;
        Replica::open(claimed, supplier, reporter, Box::new(|_| {}))
    });
    let replica = Arc::new(opened.await.context("the replica's start was cut short")??);
    let listener = common::takeover::listen(listen)
        .await
        .with_context(|| format!("cannot listen at {listen}: choose another with `--listen`"))?;
    let address = listener.local_addr().context("cannot learn the bound address")?;
    ready(address, replica.root().display().to_string());
    let agent = agent::Agent::new(identity, replica.clone(), asker.clone(), desk)?;
    tokio::select! {
        end = agent.serve(listener) => end?,
        () = stop => {}
    }
    asker.disconnect();
    tokio::task::spawn_blocking(move || replica.stop()).await.context("cannot stop cleanly")
}
