//! Says where something may have happened. `notify` stops here.
//!
//! Every directory has a watch of its own, so that what is ignored has none and the number of
//! watches is known. What comes out is hints: a path in an event may be the one that a directory
//! had a moment ago, and what happened there may be over. The handler runs on the watcher's own
//! thread and must do nothing but hand the hint on.
//!
//! `notify` drops the watches at and below a path when it reads that the path was moved away or
//! removed, at the end of the batch in which it read that, and answers calls only between batches.
//! So a watch that is asked for after the event was handed on is always a fresh one. After an
//! overflow this does not hold, and all watches are made anew.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Config, ErrorKind, Event, EventKind, EventKindMask, RecommendedWatcher};
use notify::{RecursiveMode, WatchPathConfig, Watcher as _};

use crate::dirty::Place;
use crate::limits::RESERVED_NAME;
use crate::path::RelPath;
use crate::replica::disk::Open;
use crate::replica::root::Root;

/// Where cookies are put, below `.lab3`.
pub const COOKIES: &str = ".lab3/cookies";
/// The kernel takes no longer path, the final zero included.
const PATH_MAX: usize = 4096;

/// What an event suggests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Metadata, or something that came and went as a whole.
    Touched(RelPath),
    /// A file was closed by somebody who could write to it.
    Closed(RelPath),
    /// A file was written to.
    Wrote(RelPath),
    /// A file or link appeared.
    Created(RelPath),
    /// A directory appeared or went, or anything was renamed. No watch at or below the path can be
    /// relied on.
    Moved {
        /// Where.
        path: RelPath,
        /// Says which two belong together: gone from here, or come to here.
        pair: Option<(usize, bool)>,
    },
    /// A cookie arrived.
    Cookie(String),
    /// Something happened to the root itself.
    Root,
    /// Something may have happened anywhere.
    Anywhere,
}

impl Hint {
    /// The path that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&RelPath> {
        match self {
            Hint::Touched(path) | Hint::Closed(path) | Hint::Wrote(path) => Some(path),
            Hint::Created(path) | Hint::Moved { path, .. } => Some(path),
            Hint::Cookie(_) | Hint::Root | Hint::Anywhere => None,
        }
    }
}

/// Where hints go. Must not wait.
pub type Sink = Arc<dyn Fn(Hint) + Send + Sync>;

/// What became of asking for a watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Watched {
    /// There is one since now.
    Fresh,
    /// There was one.
    Already,
    /// There can be none: the directory must be looked at from time to time.
    Polled,
    /// There is no such directory.
    Gone,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The kernel gives no more instances to this user.
    #[error("cannot watch: too many watchers; raise `sysctl fs.inotify.max_user_instances`")]
    Instances(#[source] notify::Error),
    /// Something else.
    #[error("cannot watch")]
    Failed(#[source] notify::Error),
}

/// The watches of a tree.
pub struct Watch {
    watcher: RecommendedWatcher,
    root: Arc<Root>,
    base: PathBuf,
    sink: Sink,
    most: Option<usize>,
    watched: BTreeSet<Place>,
    polled: BTreeSet<Place>,
    refused: usize,
}

impl Watch {
    /// Starts without a watch. There will be at most `most`, for tests and careful people.
    pub fn new(root: Arc<Root>, most: Option<usize>, sink: Sink) -> Result<Watch, WatchError> {
        // Through the open handle: it leads to the root even after that was moved.
        let base = root.entrance();
        let watcher = watcher(&base, &sink)?;
        let (watched, polled) = (BTreeSet::new(), BTreeSet::new());
        let mut watch = Watch { watcher, root, base, sink, most, watched, polled, refused: 0 };
        watch.watch_cookies();
        Ok(watch)
    }

    /// Forgets all watches and starts again without any.
    pub fn renew(&mut self) -> Result<(), WatchError> {
        self.watcher = watcher(&self.base, &self.sink)?;
        self.watched.clear();
        self.polled.clear();
        self.refused = 0;
        self.watch_cookies();
        Ok(())
    }

    /// Whether a directory is watched or polled.
    #[must_use]
    pub fn has(&self, place: &Place) -> bool {
        self.watched.contains(place) || self.polled.contains(place)
    }

    /// Watches a directory.
    pub fn add(&mut self, place: &Place) -> Watched {
        if self.watched.contains(place) {
            return Watched::Already;
        }
        let path = self.absolute(place);
        if path.as_os_str().len() >= PATH_MAX {
            self.polled.insert(place.clone());
            return Watched::Polled;
        }
        let full = self.most.is_some_and(|most| self.watched.len() >= most);
        let config = WatchPathConfig::new(RecursiveMode::NonRecursive)
            .with_dereference_symlinks(place.is_none());
        let result = if full {
            Err(notify::Error::new(ErrorKind::MaxFilesWatch))
        } else {
            self.watcher.watch_with(&path, config)
        };
        match result {
            Ok(()) => {
                self.polled.remove(place);
                self.watched.insert(place.clone());
                Watched::Fresh
            }
            Err(error) => match error.kind {
                ErrorKind::PathNotFound => Watched::Gone,
                kind => {
                    self.refused += usize::from(matches!(kind, ErrorKind::MaxFilesWatch));
                    self.polled.insert(place.clone());
                    Watched::Polled
                }
            },
        }
    }

    /// Ends the watches at and below a path.
    pub fn remove(&mut self, path: &RelPath) {
        for place in take_below(&mut self.watched, path) {
            // An error says that it had ended by itself.
            let _ = self.watcher.unwatch(&self.absolute(&place));
        }
        take_below(&mut self.polled, path);
    }

    /// The watches at and below a path may have ended by themselves.
    pub fn forget(&mut self, path: &RelPath) {
        take_below(&mut self.watched, path);
        take_below(&mut self.polled, path);
    }

    /// Returns when all that the watcher is working on has been handed on.
    pub fn barrier(&mut self) {
        let _ = self.watcher.configure(Config::default());
    }

    /// How many directories have a watch.
    #[must_use]
    pub fn count(&self) -> usize {
        self.watched.len()
    }

    /// The directories that have none and should be looked at from time to time.
    #[must_use]
    pub fn polled(&self) -> &BTreeSet<Place> {
        &self.polled
    }

    /// What would let all directories be watched, when a limit is what keeps some from it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if self.refused == 0 || self.polled.is_empty() {
            return None;
        }
        let needed = self.watched.len() + self.polled.len();
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        let limit = limit.ok().and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or(0);
        // Others of this user have watches, too; all that are allowed are in use.
        let wanted = if self.most.is_some() { needed } else { limit + self.polled.len() };
        let wanted = wanted.next_multiple_of(1024);
        Some(format!(
            "{needed} directories need a watch, {} have one: \
             `sysctl fs.inotify.max_user_watches={wanted}`",
            self.watched.len()
        ))
    }

    fn absolute(&self, place: &Place) -> PathBuf {
        match place {
            Some(path) => self.base.join(OsStr::from_bytes(path.as_bytes())),
            None => self.base.clone(),
        }
    }

    fn watch_cookies(&mut self) {
        // What is there already is fine; what cannot be made shows when a cookie is put.
        let root = self.root.handle();
        if let Some(ours) = self.root.ours() {
            let _ = ours.make_directory(b"cookies", 0o700);
        } else {
            let _ = root.make_directory(RESERVED_NAME, 0o700);
            if let Ok(ours) = root.open_at(RESERVED_NAME, Open::Directory) {
                let _ = ours.make_directory(b"cookies", 0o700);
            }
        }
        let config = WatchPathConfig::new(RecursiveMode::NonRecursive);
        if let Err(error) = self.watcher.watch_with(&self.base.join(COOKIES), config) {
            tracing::warn!(%error, "cookies cannot be watched");
        }
    }
}

fn watcher(base: &Path, sink: &Sink) -> Result<RecommendedWatcher, WatchError> {
    let config = Config::default()
        .with_follow_symlinks(false)
        .with_event_kinds(EventKindMask::CORE | EventKindMask::ACCESS_CLOSE);
    let (base, sink) = (base.to_owned(), sink.clone());
    let handler = move |event: notify::Result<Event>| {
        for hint in hints(&base, event) {
            sink(hint);
        }
    };
    RecommendedWatcher::new(handler, config).map_err(|error| match &error.kind {
        ErrorKind::Io(e) if e.raw_os_error() == Some(libc::EMFILE) => WatchError::Instances(error),
        _ => WatchError::Failed(error),
    })
}

fn take_below(places: &mut BTreeSet<Place>, path: &RelPath) -> Vec<Place> {
    let own = Some(path.clone());
    let mut taken: Vec<Place> = Vec::new();
    // Between a path and what is below it other names may sort: `d`, `d-1`, `d/x`.
    let (from, to) = path.bounds_below();
    let edge = |bytes: &[u8]| RelPath::new(&bytes[..bytes.len() - 1]).ok();
    if let Some(first) = edge(&from) {
        let later = places.range((Bound::Included(Some(first)), Bound::Unbounded));
        let below = later.flatten().skip_while(|p| p.as_bytes() < from.as_slice());
        taken.extend(below.take_while(|p| p.as_bytes() < to.as_slice()).cloned().map(Some));
    }
    if places.contains(&own) {
        taken.push(own);
    }
    for place in &taken {
        places.remove(place);
    }
    taken
}

/// Translates an event.
fn hints(base: &Path, event: notify::Result<Event>) -> Vec<Hint> {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        Ok(_) => return vec![Hint::Anywhere],
        Err(error) => {
            tracing::warn!(%error, "the watcher reports an error");
            return vec![Hint::Anywhere];
        }
    };
    if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::Both)) {
        return Vec::new();
    }
    event.paths.iter().filter_map(|path| hint(base, &event, path)).collect()
}

fn hint(base: &Path, event: &Event, path: &Path) -> Option<Hint> {
    let below = path.strip_prefix(base).ok()?;
    if below.as_os_str().is_empty() {
        return Some(Hint::Root);
    }
    if let Ok(cookie) = below.strip_prefix(COOKIES) {
        let arrived = matches!(event.kind, EventKind::Create(_)) && !cookie.as_os_str().is_empty();
        return arrived.then(|| Hint::Cookie(cookie.to_string_lossy().into_owned()));
    }
    if below.as_os_str().as_bytes() == RESERVED_NAME {
        return Some(Hint::Root);
    }
    let path = RelPath::new(below.as_os_str().as_bytes()).ok()?;
    let pair = |is_from| event.tracker().map(|cookie| (cookie, is_from));
    Some(match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Hint::Closed(path),
        EventKind::Create(CreateKind::File) => Hint::Created(path),
        EventKind::Create(_) | EventKind::Remove(RemoveKind::Folder | RemoveKind::Other) => {
            Hint::Moved { path, pair: None }
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => match pair(true) {
            // Without a number it is what the moved directory says of itself.
            None => return None,
            pair => Hint::Moved { path, pair },
        },
        EventKind::Modify(ModifyKind::Name(_)) => Hint::Moved { path, pair: pair(false) },
        EventKind::Modify(ModifyKind::Data(_)) => Hint::Wrote(path),
        EventKind::Access(_) => return None,
        _ => Hint::Touched(path),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    #[test]
    fn a_lost_event_means_anywhere() {
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(hints(Path::new("/r"), Ok(lost)), [Hint::Anywhere]);
        let error = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert_eq!(hints(Path::new("/r"), Err(error)), [Hint::Anywhere]);
    }

    #[test]
    fn our_own_directory_is_no_news_but_its_loss_concerns_the_root() {
        let gone = EventKind::Remove(RemoveKind::Folder);
        let of = |name: &str| Event::new(gone).add_path(Path::new("/r").join(name));
        assert_eq!(hints(Path::new("/r"), Ok(of(".lab3"))), [Hint::Root]);
        assert_eq!(hints(Path::new("/r"), Ok(of(".lab3/stage"))), []);
        let moved = Hint::Moved { path: path("d"), pair: None };
        assert_eq!(hints(Path::new("/r"), Ok(of("d"))), [moved]);
    }

    #[test]
    fn only_what_is_below_is_taken() {
        let names = ["d", "d-1", "d/x", "d/x/y", "d0", "e"];
        let mut places: BTreeSet<Place> = names.iter().map(|n| Some(path(n))).collect();
        places.insert(None);
        assert_eq!(take_below(&mut places, &path("d")).len(), 3);
        let left: Vec<Place> = places.into_iter().collect();
        assert_eq!(left, [None, Some(path("d-1")), Some(path("d0")), Some(path("e"))]);
    }
}
