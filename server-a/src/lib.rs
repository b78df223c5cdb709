//! Server A: it watches its directory, decides for both sides, and serves the clients.
//!
//! Pure: `coordinator`, `locks`, `broken`, `pending::queue`, `frame`, `recent`, `underway`,
//! `timing`. The rest is the shell that carries out what they decide: `driver` owns the
//! coordinator, `peer` is the link to B, `clients` the door for `lab3`, `contents` finds bytes,
//! `keeper` and `saver` write down. See `docs/architecture.md`.

pub mod broken;
pub mod cli;
mod clients;
mod contents;
pub mod coordinator;
mod driver;
mod ending;
pub mod frame;
pub mod journal;
mod keeper;
pub mod locks;
mod mail;
mod notes;
mod peer;
pub mod pending;
pub mod recent;
pub mod roles;
mod saver;
pub mod timing;
pub mod underway;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::exchange::asker::Asker;
use common::exchange::giver::Giver;
use common::identity::Identity;
use common::limits::{NEWS_BYTES_MAX, PEER_TELLS_BYTES_MAX};
use common::options::ReplicaOptions;
use common::reconcile::safety::Limits;
use common::replica::kept::shown;
use common::replica::room::Spared;
use common::replica::service::{Claimed, Replica, Settings};
use common::side::Side;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, spawn_blocking};
use tracing::warn;

use coordinator::event::Event;
use coordinator::{Coordinator, Remembered};
use driver::Driver;
use journal::Journal;
use journal::segments::Terms;
use mail::Mail;
use pending::directory::PendingDirectory;
use pending::queue::{HeldLimits, PendingQueue};
use timing::Timing;
use underway::Trail;
use underway::file::{Recorder, Recording};

/// What server A is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory to take into care.
    pub directory: PathBuf,
    /// Where to wait for clients.
    pub listen: SocketAddr,
    /// Where server B waits, `HOST:PORT`.
    pub peer: String,
    /// Where the identity lies; the user's own when absent.
    pub identity: Option<PathBuf>,
    /// How the directory is cared for.
    pub replica: ReplicaOptions,
    /// When to halt.
    pub limits: Limits,
    /// How much may be held.
    pub held: HeldLimits,
    /// How many bytes the journal may take.
    pub journal_bytes: u64,
    /// How long after a change both sides are compared; never when absent.
    pub check_every: Option<Duration>,
}

/// Runs in a runtime of its own until SIGTERM or Ctrl-C.
pub fn run_until_stopped(config: Config) -> Result<()> {
    common::sys::keep_one_heap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let peer = config.peer.clone();
    let _within = runtime.enter();
    runtime.block_on(run(config, common::stop::signalled()?, |address, directory| {
        common::stop::end_on_panic();
        common::talk::ready(&format!(
            "server-a ready: clients {address}, peer {peer}, directory {directory}"
        ));
    }))
}

/// Runs until `stop` comes; calls `ready` with the bound address and the directory when clients
/// may come.
#[expect(clippy::disallowed_methods, reason = "it opens sockets and starts threads")]
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr, String),
) -> Result<()> {
    let identity = Arc::new(Identity::open(config.identity.as_deref())?);
    let (mail, post) = channel();
    let asker = Arc::new(Asker::default());
    let opening = {
        let (config, mail, asker) = (config.clone(), mail.clone(), asker.clone());
        spawn_blocking(move || open(&config, mail, asker))
    };
    let Opened { replica, remembered, pending, underway } =
        opening.await.context("the replica's start was cut short")??;
    let (listener, address) = listen_at(config.listen).await?;
    let local = clients::listen_locally(address, identity.id()).await;
    let giver = Arc::new(Giver::start(replica.reader()).context("cannot start a thread")?);
    let desk = Arc::new(clients::Desk::default());
    let link = Arc::new(peer::Link::of_at_most(NEWS_BYTES_MAX));
    let (journal, writing) = begin_journal(&config, &replica, desk.clone(), mail.clone())?;
    let saver = saver::start(replica.clone(), link.clone(), journal.clone(), mail.clone());
    let (saver, saving) = saver?;
    let keeper = keeper::start(pending, replica.clone(), asker.clone(), mail.clone())?;
    let mut coordinator = Coordinator::new(remembered);
    coordinator.check_every(config.check_every.map(|every| every.as_secs() * 1000));
    let driver = Driver {
        coordinator,
        contents: contents::Contents::new(
            replica.clone(),
            asker.clone(),
            link.clone(),
            mail.clone(),
        )?,
        replica: replica.clone(),
        link: link.clone(),
        desk: desk.clone(),
        saver,
        keeper,
        journal,
        underway,
        timing: Timing::default(),
        start: Instant::now(),
    };
    let driving = driver::start(driver, post)?;
    ready(address, replica.root().display().to_string());
    let events = |mail: &Sender<Mail>| {
        let mail = mail.clone();
        move |event: Event| drop(mail.send(Mail::now(event)))
    };
    let at = peer::At {
        address: config.peer,
        identity: identity.clone(),
        tells_bytes_max: PEER_TELLS_BYTES_MAX,
    };
    let of_b = mail.clone();
    let tell = move |event, room| drop(of_b.send(Mail::of_b(event, room)));
    let mut dialled = JoinSet::new();
    dialled.spawn(peer::dial(at, replica.clone(), link.clone(), asker.clone(), giver, tell));
    let end = tokio::select! {
        end = clients::Door::new(identity, desk, events(&mail)).serve(listener, local) => end,
        Some(end) = dialled.join_next() => {
            end.context("dialling was cut short").map(|never| match never {})
        }
        () = stop => Ok(()),
    };
    drop(mail.send(Mail::Stop));
    ending::wind_up([driving, saving, writing], &link, dialled, &asker, replica).await?;
    end
}

async fn listen_at(listen: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = common::takeover::listen(listen)
        .await
        .with_context(|| format!("cannot listen at {listen}: choose another with `--listen`"))?;
    let address = listener.local_addr().context("cannot learn the bound address")?;
    Ok((listener, address))
}

fn begin_journal(
    config: &Config,
    replica: &Replica,
    desk: Arc<clients::Desk>,
    mail: Sender<Mail>,
) -> std::io::Result<(Journal, JoinHandle<()>)> {
    let terms = Terms { bytes_max: config.journal_bytes, durable: replica.is_strict() };
    journal::start(replica.claim().keeping("journal"), terms, desk, mail)
}

struct Opened {
    replica: Arc<Replica>,
    remembered: Remembered,
    pending: Arc<PendingDirectory>,
    underway: Arc<Recording>,
}

/// Opens the replica, the archive and the pending directory.
fn open(config: &Config, mail: Sender<Mail>, asker: Arc<Asker>) -> Result<Opened> {
    let settings = Settings::new(Side::A, &config.directory, &config.replica);
    let late = contents::LatePending::default();
    let supplier = contents::supplier(asker, late.clone());
    let reporter = Box::new(move |report| {
        drop(mail.send(Mail::now(Event::Reported(Side::A, report))));
    });
    let claimed = Claimed::take(settings)?;
    let noted = claimed.claim().keeping("underway");
    // Recovery, which comes next, takes the traces away.
    let took_effect = |operation: &_, witness: &_| claimed.took_effect(operation, witness);
    let (recorder, underway) = Recorder::open(noted.clone(), claimed.run(), took_effect)
        .with_context(|| format!("cannot write `{}`", shown(&noted).display()))?;
    let recording = Arc::new(Recording::of(recorder));
    let record = recording.clone();
    // Before it is heard of: a kill may come in between.
    let follow = Box::new(move |progress| record.record(&Trail::of(progress)));
    let replica = Arc::new(Replica::open(claimed, supplier, reporter, follow)?);
    let saved = saver::load(replica.store())?;
    let path = replica.claim().keeping("pending");
    // A first start may have been cut short: until B was met and something locked, nothing is held.
    if replica.claim().is_new() || (saved.peer.is_none() && saved.locks.is_empty()) {
        PendingDirectory::create(&path)?;
    }
    let opened = PendingDirectory::open(path, 0)?;
    for problem in &opened.problems {
        let path = shown(&problem.path);
        let path = path.display();
        warn!(%path, why = %problem.detail, "the pending directory holds something unreadable,");
    }
    let mut locks = saved.locks;
    for edit in &opened.edits {
        // When the store was lost, what is held still says that somebody had locked it.
        locks.recover(edit.lock, &edit.path, edit.received);
    }
    let queue = PendingQueue::rebuild(opened.edits, opened.next_seq, config.held);
    let remembered = Remembered {
        underway,
        archive: saved.archive,
        peer: saved.peer,
        locks,
        broken: saved.broken,
        queue,
        epoch: common::replica::claim::random(replica.root())? as u64,
        limits: config.limits,
    };
    let pending = Arc::new(opened.directory.sparing(Spared::of(config.replica.min_free))?);
    // Nothing else sets it.
    drop(late.set(pending.clone()));
    Ok(Opened { replica, remembered, pending, underway: recording })
}
