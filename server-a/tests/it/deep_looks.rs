//! How the sides of the deep world see their disks: events, looks, what is remembered of them.

use std::collections::BTreeMap;

use common::dirty::Depth;
use common::path::RelPath;
use common::replica::flush::keep_flushed;
use common::replica::known::carry::carry;
use common::side::Side;
use server_a::underway::Trail;

use crate::deep::{Deep, Sided};

/// What could not be told is looked at again after so long.
const AGAIN_MS: u64 = 10;

impl Deep {
    /// Events become marks; only of directories that are watched.
    pub(crate) fn notice(&mut self, side: Side, overflow: bool) {
        let sided = &mut self.sides[side];
        let files = sided.disk.lock();
        let walked = files.walk("");
        let paths: BTreeMap<u64, String> = walked.into_iter().map(|(p, u)| (u, p)).collect();
        drop(files);
        let events = sided.disk.lock().events.replace(Vec::new()).unwrap_or_default();
        if overflow {
            sided.dirty.all(self.now.moment);
        }
        let mut noticed = Vec::new();
        for (dir, name) in events {
            let above = match paths.get(&dir) {
                Some(path) => RelPath::new(path).ok(),
                None if dir == crate::disk::files::ROOT => None,
                None => continue,
            };
            if sided.place.followed.0.contains(&above)
                && let Ok(path) = RelPath::within(above.as_ref(), &name)
            {
                noticed.push(path.clone());
                sided.dirty.mark(Some(path), Depth::Entry, self.now.moment);
            }
        }
        let again = std::mem::take(&mut *sided.place.again.lock().expect("no panic"));
        for path in again {
            sided.dirty.mark(Some(path), Depth::Entry, self.now.moment);
        }
        for pair in noticed.windows(2) {
            let sided = &mut self.sides[side];
            if carry(&sided.place.root, &sided.place.known, (&pair[0], &pair[1]), None) {
                pair.iter().for_each(|path| {
                    sided.dirty.mark(Some(path.clone()), Depth::Deep, self.now.moment);
                });
                self.say(|| format!("{side} carries {pair:?}"));
            }
        }
        self.hear(side);
    }

    /// A side looks at what is marked.
    pub(crate) fn look(&mut self, side: Side) {
        if self.sides[side].looking.is_some() {
            self.end_look(side);
        }
        self.begin_look(side, true);
        self.end_look(side);
    }

    /// A look goes one step on: it is begun, or looks, or tells. Commits may come between. What is
    /// to be looked at again is left for a moment.
    pub(crate) fn go_on_looking(&mut self, side: Side) {
        let Sided { looking, place, .. } = &mut self.sides[side];
        match looking {
            None => self.begin_look(side, false),
            Some(look) if look.seen.is_none() => {
                place.see(look);
                self.say(|| format!("{side} has looked"));
            }
            Some(_) => self.end_look(side),
        }
    }

    fn begin_look(&mut self, side: Side, everything: bool) {
        let sided = &mut self.sides[side];
        let marks = sided.dirty.take(self.now.moment, everything);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{side} looks at {:?}", marks.keys()));
        }
        sided.looking = Some(sided.place.begin(marks));
    }

    fn end_look(&mut self, side: Side) {
        let sided = &mut self.sides[side];
        let Some(look) = sided.looking.take() else { return };
        let seen = sided.place.end(look);
        for (place, (depth, read)) in seen.again {
            sided.dirty.again(place, depth, read, self.now.moment, AGAIN_MS);
        }
        self.hear(side);
    }

    pub(crate) fn settle_left(&mut self, side: Side) {
        let _ = self.sides[side].place.committer.publisher.settle_left();
    }

    /// Whether nothing that came out of a tree lies in `stage/`, but where the disk had errors.
    pub(crate) fn nothing_waits(&self, faulty: bool) -> Result<(), String> {
        for side in Side::BOTH.into_iter().filter(|_| !faulty) {
            let staged = self.sides[side].disk.lock().walk(".lab3/stage");
            if let Some(name) = staged.keys().next() {
                return Err(format!("`{name}` waits in {side}'s stage"));
            }
        }
        Ok(())
    }

    pub(crate) fn save_scan(&mut self, side: Side) {
        self.settle_left(side);
        let sided = &mut self.sides[side];
        sided.place.committer.publisher.unfold(2);
        let mut rows = sided.place.known.unsaved();
        keep_flushed(&sided.place.root, &mut rows);
        for (path, row) in rows {
            match row {
                Some(row) => sided.saved.insert(path, row),
                None => sided.saved.remove(&path),
            };
        }
    }

    pub(crate) fn hear(&mut self, side: Side) {
        self.note_progress();
        let told = std::mem::take(&mut *self.sides[side].place.reports.lock().expect("no panic"));
        if side == Side::A || self.link {
            self.reports[side].extend(told);
        }
    }

    /// How A's operations come along is noted by whoever carries them out.
    pub(crate) fn note_progress(&mut self) {
        self.note_drained();
        let progress = &self.sides.a.place.progress;
        let progress = std::mem::take(&mut *progress.lock().expect("no panic"));
        progress.into_iter().for_each(|step| self.durable.underway.note(Trail::of(step)));
    }
}
