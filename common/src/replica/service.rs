//! A directory in our care: everything about it behind one door, for either server.
//!
//! Orders go in without waiting; what becomes of them, and what is seen, comes out through the
//! reporter. Small commits are carried out in groups by one lane, large ones one by one by others,
//! so that a big file never stands in the way of a small edit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::change::{Operation, Witness};
use crate::entry::Entry;
use crate::limits::PIECE_BYTES_MAX;
use crate::merkle::Question;
use crate::options::{DurabilityOption, ReplicaOptions};
use crate::path::RelPath;
use crate::replica::begun::Follow;
use crate::replica::claim::{Claim, ClaimError, Terms, random};
use crate::replica::commit::{Committer, Durability, Job};
use crate::replica::known::{Known, Reporter};
use crate::replica::lanes::Lanes;
use crate::replica::life;
use crate::replica::looks::{Looks, Place};
use crate::replica::met;
use crate::replica::observer::{self, Command, Observer, ObserverError, ObserverHandle};
use crate::replica::place;
use crate::replica::publish::{self, Publisher};
use crate::replica::remembered;
use crate::replica::reread::{Reread, reread};
use crate::replica::room::{Room, Spared};
use crate::replica::root::{Root, RootError};
use crate::replica::salvage::Salvage;
use crate::replica::saving::Saving;
use crate::replica::source::Supplier;
use crate::replica::stage::{Flush, StagedFile};
use crate::replica::step::StepError;
use crate::replica::supply::supply;
use crate::replica::trash::{Keep, Reason};
use crate::side::Side;
use crate::store::{self, Store, StoreError};
use crate::wire::message::{Hello, Order, OrderId, ReplicaId, Report, Role};

/// How a directory is taken into care.
#[derive(Clone, Debug)]
pub struct Settings {
    side: Side,
    directory: PathBuf,
    options: ReplicaOptions,
}

impl Settings {
    /// The settings that the options of a server say.
    #[must_use]
    pub fn new(side: Side, directory: &Path, options: &ReplicaOptions) -> Settings {
        Settings { side, directory: directory.to_path_buf(), options: options.clone() }
    }

    fn durability(&self) -> Durability {
        match self.options.durability {
            DurabilityOption::Strict => Durability::Strict,
            DurabilityOption::Relaxed => Durability::Relaxed,
        }
    }

    fn keep(&self) -> Keep {
        let days = Duration::from_secs(self.options.trash_days.saturating_mul(86_400));
        Keep { age: days, bytes: self.options.trash_gib.saturating_mul(1 << 30) }
    }

    fn spared(&self) -> Spared {
        Spared::of(self.options.min_free)
    }
}

/// Why a directory cannot be taken into care.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error(transparent)]
    Root(#[from] RootError),
    /// It cannot be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Its store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a crash left cannot be looked at.
    #[error(transparent)]
    Recover(#[from] StepError),
    /// Its staging area or its trash cannot be used.
    #[error(transparent)]
    Publish(#[from] publish::OpenError),
    /// It cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserverError),
    /// A step failed.
    #[error("cannot {step} in `{}`", .path.display())]
    Step {
        /// Which step.
        step: &'static str,
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A directory in our care, as long as this lives.
pub struct Replica {
    root: Arc<Root>,
    claim: Claim,
    store: Arc<Store>,
    known: Arc<Known>,
    publisher: Arc<Publisher>,
    durability: Durability,
    observer: ObserverHandle,
    lanes: Lanes,
    saving: Saving,
    salvage: Salvage,
    /// What was ordered but for commits, and is not carried out.
    looks: Looks,
    /// Another number in each life of the directory; where that cannot be told, with each start.
    run: u64,
}

/// A directory that nobody else may care for any more, as whoever did so last left it.
pub struct Claimed {
    settings: Settings,
    root: Arc<Root>,
    claim: Claim,
    publisher: Arc<Publisher>,
    life: Option<u64>,
    run: u64,
}

impl Claimed {
    /// Claims a directory.
    pub fn take(settings: Settings) -> Result<Claimed, OpenError> {
        let root = Arc::new(Root::open(&settings.directory)?);
        let state_dir = settings.options.state_dir.as_deref();
        let claim = Claim::take(&root, Terms { state_dir, ..Terms::default() })?;
        let life = life::of(root.path());
        let run = match life {
            Some(life) => life,
            None => random(root.path())? as u64,
        };
        let publisher = Publisher::open(root.clone(), &claim, settings.side, settings.keep())?;
        let room = Room::on(root.handle().clone(), root.path().to_owned(), settings.spared());
        let publisher = publisher.within(room);
        Ok(Claimed { settings, root, claim, publisher: Arc::new(publisher), life, run })
    }

    /// The claim on the directory.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// See [`Replica::run`].
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether something took effect that had begun when the last process ended.
    pub fn took_effect(&self, operation: &Operation, witness: &Witness) -> bool {
        self.publisher.took_effect(operation, witness)
    }
}

impl Replica {
    /// Takes a directory into care: finishes what a crash left, and begins to watch.
    pub fn open(
        claimed: Claimed,
        supplier: Arc<dyn Supplier>,
        reporter: Reporter,
        follow: Follow,
    ) -> Result<Replica, OpenError> {
        let Claimed { settings, root, claim, publisher, life, run } = claimed;
        let store = open_store(&claim, settings.durability())?;
        let since = life.map(|life| format!("{life:016x}")).or_else(place::boot);
        let rows = remembered::load(&store, since.as_deref())?;
        let known = Arc::new(Known::new(rows, reporter));
        let failed = |step| {
            let path = root.path().to_path_buf();
            move |source| OpenError::Step { step, path, source }
        };
        recover(&publisher)?;
        let observing = observer::Settings {
            watches_max: settings.options.watches_max,
            scrub_ms: settings.options.scrub_every().map(|every| every.as_millis() as u64),
            lacks: publisher.abilities.lacks(),
            ..observer::Settings::default()
        };
        let observer = Observer::start(observing, root.clone(), known.clone())?;
        let look = observer.sender();
        let durability = settings.durability();
        let committer = Committer {
            publisher: publisher.clone(),
            known: known.clone(),
            durability,
            supplier,
            dirty: Box::new(move |path| look(Command::MarkDirty(path))),
            follow,
            turn: Default::default(),
        };
        let lanes = Lanes::start(committer).map_err(failed("start a thread"))?;
        let saving = Saving::start(known.clone(), store.clone(), publisher.clone())
            .map_err(failed("start a thread"))?;
        let salvage =
            Salvage::start(known.clone(), publisher.clone()).map_err(failed("start a thread"))?;
        Ok(Replica {
            root,
            claim,
            store,
            known,
            publisher,
            durability,
            observer,
            lanes,
            saving,
            salvage,
            looks: Looks::default(),
            run,
        })
    }

    /// The directory, as it is called in messages.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Which replica it is.
    pub fn id(&self) -> ReplicaId {
        self.claim.id()
    }

    /// Another number whenever what was not flushed may have been lost since.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// How a server that cares for it introduces itself.
    pub fn hello(&self, role: Role) -> Hello {
        let place = place::Place::of(self.root.path());
        let inside = self.claim.inside().ok();
        let number = inside.and_then(|inside| met::read(&inside)).map(met::feature);
        let run = met::run_feature(self.run);
        let features = place.iter().map(place::Place::feature).chain(number).chain([run]).collect();
        Hello { features, ..Hello::new(role, Some(self.id())) }
    }

    /// Why this root must not be joined with that of another server: it lies in this one, or
    /// around it.
    pub fn clash(&self, theirs: &Hello) -> Option<String> {
        let ours = place::Place::of(self.root.path())?;
        let clash = ours.clash(&place::Place::told(&theirs.features)?)?;
        Some(clash.words(self.root.path()))
    }

    /// The claim on the directory.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The paths below a path that are known.
    pub fn known_below(&self, path: &RelPath) -> Vec<RelPath> {
        self.known.below(path)
    }

    /// What is remembered of it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether every change is on disk before it counts.
    pub fn is_strict(&self) -> bool {
        self.durability == Durability::Strict
    }

    /// How many orders wait that look, compare or list.
    pub fn looks_waiting(&self) -> usize {
        self.looks.waiting()
    }

    /// Takes an order. Never waits.
    pub fn order(&self, order: Order) {
        let place = self.looks.enter();
        let look = |command| self.observer.send(Command::Counted(Box::new(command), place.clone()));
        match order {
            Order::Commit { id, operation, content } => {
                self.lanes.commit(Job::new(id, operation, content));
            }
            Order::Inventory => {
                // What is known is news only after the first look at everything, and when nothing
                // that an earlier listener ordered is under way any more.
                let (known, line) = (self.known.clone(), self.lanes.line());
                let tell = move || {
                    known.inventory();
                    drop(place);
                };
                self.observer.when_ready(move || line.when_over(tell));
            }
            Order::Settle { id } => look(Command::Settle(id)),
            Order::Rescan { path: None } => look(Command::Scrub),
            Order::Rescan { path } => look(Command::Rescan(path)),
            Order::Sync { id, paths } => look(Command::Sync(id, paths)),
            Order::Approve => look(Command::Approve),
            Order::Meet { number } => match self.remember_meeting(number) {
                Ok(()) => self.known.answer(Report::Met { number }),
                // The coordinator will say the same number at the next meeting.
                Err(error) => tracing::warn!(why = %error, "cannot remember this meeting"),
            },
            Order::ListTrash { id, below } => self.salvage.list(id, below, place),
            Order::FindTrash { id, name } => self.salvage.find(id, name, place),
            Order::Compare { id, question } => self.compare(id, question, place),
            Order::Reread { id } => self.reread(id, place),
        }
    }

    fn remember_meeting(&self, number: u64) -> io::Result<()> {
        met::write(&self.claim.inside()?, number)
    }

    /// Reads everything on a thread of its own, and says what is damaged.
    fn reread(&self, id: OrderId, place: Place) {
        let (root, known, look) = (self.root.clone(), self.known.clone(), self.observer.sender());
        let read = move || {
            let Reread { read, rotten } =
                reread(&root, &known, |path| look(Command::MarkDirty(path)));
            known.say(Report::Reread { id, read, rotten });
            drop(place);
        };
        if let Err(error) = std::thread::Builder::new().name("rereading".into()).spawn(read) {
            tracing::warn!(why = %error, "cannot read everything");
        }
    }

    /// Answers on a thread of its own: the first comparison of a large tree takes a while.
    fn compare(&self, id: OrderId, question: Question, place: Place) {
        let known = self.known.clone();
        let answer = move || {
            known.compare(id, &question);
            drop(place);
        };
        // Without a thread there is no answer, and whoever asked asks again.
        if let Err(error) = std::thread::Builder::new().name("comparing".into()).spawn(answer) {
            tracing::warn!(why = %error, "cannot compare");
        }
    }

    /// Makes the present content of these files durable, and says whether it is.
    pub fn sync(&self, paths: &[RelPath]) -> bool {
        crate::replica::flush::flush(&self.root, paths)
    }

    /// What answers questions for content of this directory.
    pub fn reader(&self) -> crate::exchange::giver::Read {
        let (root, known) = (self.root.clone(), self.known.clone());
        Arc::new(move |ask, tell| supply(&root, &known, ask, tell))
    }

    /// Puts a content that never came to be in the tree where it can be found again.
    pub fn keep_in_trash(
        &self,
        path: &RelPath,
        entry: Option<&Entry>,
        content: &mut dyn io::Read,
    ) -> io::Result<()> {
        let Some(file) = entry.and_then(Entry::as_file) else { return Ok(()) };
        let publisher = &self.publisher;
        let mut staged = publisher.stage.file_of_ours(file.size).map_err(io::Error::other)?;
        let name = staged.name().to_vec();
        let flush = if self.is_strict() { Flush::Now } else { Flush::Begun };
        let kept = write_all(&mut staged, content)
            .and_then(|()| staged.finish(file, flush).map_err(io::Error::other))
            .and_then(|_| {
                let from = (publisher.stage.handle(), name.as_slice());
                let put = publisher.trash.put(from, path, Reason::Discarded, file.digest);
                put.map_err(io::Error::other)
            });
        if kept.is_err() {
            publisher.stage.discard(&name);
        }
        kept.map(drop)
    }

    /// Nobody listens to the reports any more, until the next inventory is ordered. Of what was
    /// ordered only what has begun is finished.
    pub fn hush(&self) {
        self.lanes.line().forget();
        self.known.hush();
    }

    /// Ends the care: what is under way is finished, what is known is saved.
    pub fn stop(&self) {
        self.lanes.stop();
        self.observer.stop();
        self.saving.stop();
        self.salvage.stop();
    }
}

fn open_store(claim: &Claim, durability: Durability) -> Result<Arc<Store>, OpenError> {
    let durability = match durability {
        Durability::Strict => store::Durability::Strict,
        Durability::Relaxed => store::Durability::Relaxed,
    };
    let opened = store::open(&claim.state().join("store"), durability)?;
    if let Some(aside) = &opened.set_aside {
        tracing::error!(
            path = %aside.display(),
            "the store was damaged; nothing is deleted, both sides are united anew; kept it as"
        );
    }
    Ok(Arc::new(opened.store))
}

fn write_all(staged: &mut StagedFile, content: &mut dyn io::Read) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES_MAX];
    let mut offset = 0;
    loop {
        let count = content.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        staged.write(offset, &piece[..count])?;
        offset += count as u64;
    }
}

/// Finishes what a crash left in `stage/`. What cannot be finished stays, and is said.
fn recover(publisher: &Publisher) -> Result<(), StepError> {
    let (done, failed) = publisher.recover()?;
    for recovered in done {
        tracing::info!("after a crash: {recovered:?}");
    }
    for error in failed {
        tracing::error!(why = %error, "after a crash: something stays in `.lab3/stage`");
    }
    Ok(())
}

/// What to do about an error that keeps a server from running, as far as we know.
#[must_use]
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        // What passes an error on as it is does not stand beside it in the chain.
        let opened = cause.downcast_ref::<OpenError>();
        let claim = match opened {
            Some(OpenError::Claim(error)) => Some(error),
            _ => cause.downcast_ref(),
        };
        let root = match opened {
            Some(OpenError::Root(error)) => Some(error),
            _ => cause.downcast_ref(),
        };
        match (claim, root) {
            (Some(ClaimError::Taken { .. }), _) => {
                Some("only one server may care for a directory: stop the other one first")
            }
            (Some(ClaimError::Unmarked { .. }), _) => {
                Some("is its disk mounted? nothing was changed")
            }
            (_, Some(RootError::Missing { .. })) => {
                Some("make the directory first, or check its name and its mount")
            }
            _ => None,
        }
    })
}
