//! What carries out orders and actions in the deep world: the committers, and server A's shell.

use std::collections::BTreeSet;

use common::change::Operation;
use common::dirty::Depth;
use common::entry::Entry;
use common::path::RelPath;
use common::reconcile::conflict::is_copy_name;
use common::replica::commit::Job;
use common::replica::flush::flush;
use common::replica::source::{SourceError, Supplier};
use common::side::Side;
use common::wire::message::{Content, Order, Report};
use server_a::coordinator::action::{ArchiveRow, Batch};
use server_a::coordinator::event::{Event, HoldFailure, SaveId};
use server_a::pending::queue::HeldEdit;

use crate::deep::{Deep, Shared};

/// Which held edits of files were applied, and which once more.
#[derive(Default)]
pub(crate) struct Drained {
    under: Option<(u64, RelPath)>,
    pub(crate) done: BTreeSet<u64>,
    pub(crate) twice: BTreeSet<u64>,
}

impl Deep {
    /// A side is about to carry something out.
    fn watch_drain(&mut self, side: Side, operation: &Operation, content: &Content) {
        if let (Side::A, Operation::Change(change), Content::Held(seq)) = (side, operation, content)
            && !is_copy_name(change.path.name())
            && !self.stands(*seq, &change.path)
        {
            self.drained.under = Some((*seq, change.path.clone()));
        }
    }

    /// Where a rename may replace, a new version has two names for a moment. When A ends in it and
    /// its user takes away the one in the tree, nobody can tell that it was there.
    fn has_two_names(&self, path: &RelPath) -> bool {
        let files = self.sides.a.disk.lock();
        let there = files.at(path.as_bytes());
        files.walk(".lab3/stage").into_values().any(|staged| Some(staged) == there)
    }

    /// Contents are all different: a held edit that stands where it did not was applied.
    pub(crate) fn note_drained(&mut self) {
        if let Some((seq, path)) = self.drained.under.take()
            && self.stands(seq, &path)
            && !self.has_two_names(&path)
            && !self.drained.done.insert(seq)
        {
            self.drained.twice.insert(seq);
        }
    }

    /// Whether the next thing that A does is to apply a held edit.
    pub(crate) fn is_to_drain(&self) -> bool {
        let next = self.orders.a.front();
        matches!(next, Some(Order::Commit { content: Content::Held(_), .. }))
    }

    fn stands(&self, seq: u64, path: &RelPath) -> bool {
        let held = self.counters.a.lock().expect("no panic").held.get(&seq).cloned();
        let files = self.sides.a.disk.lock();
        files.at(path.as_bytes()).is_some_and(|uid| held.as_deref() == Some(files.content(uid)))
    }

    /// A side carries out the next order. Answers whether there was one.
    pub(crate) fn run_order(&mut self, side: Side) -> bool {
        let Some(order) = self.orders[side].pop_front() else { return false };
        self.say(|| format!("{side} carries out {order:?}"));
        let place = &self.sides[side].place;
        match order {
            Order::Commit { id, operation, content } => {
                self.commits += 1;
                self.watch_drain(side, &operation, &content);
                let place = &self.sides[side].place;
                place.committer.commit_all(vec![Job::new(id, operation, content)]);
            }
            Order::Inventory => place.known.inventory(),
            Order::Settle { id } => {
                for _ in 0..8 {
                    self.notice(side, false);
                    if self.sides[side].dirty.is_empty() {
                        break;
                    }
                    self.look(side);
                }
                self.sides[side].place.known.say(Report::Settled { id });
            }
            Order::Rescan { path: None } => self.sides[side].dirty.all(self.now.moment),
            Order::Rescan { path: Some(path) } => {
                let dirty = &mut self.sides[side].dirty;
                dirty.mark_read(path.clone(), self.now.moment);
                dirty.mark(Some(path), Depth::Deep, self.now.moment);
            }
            Order::Sync { .. } | Order::Approve => {}
            Order::Compare { id, question } => place.known.compare(id, &question),
            order @ (Order::Reread { .. } | Order::ListTrash { .. } | Order::FindTrash { .. }) => {
                panic!("no client asks here: {order:?}")
            }
            Order::Meet { number } => {
                self.met = Some(number);
                self.tell(Event::Reported(side, Report::Met { number }));
            }
        }
        self.hear(side);
        true
    }

    pub(crate) fn run_report(&mut self, side: Side) -> bool {
        let Some(report) = self.reports[side].pop_front() else { return false };
        self.tell(Event::Reported(side, report));
        true
    }

    /// The shell does the next save, hold or discard. Answers whether there was one.
    pub(crate) fn run_shell(&mut self) -> bool {
        if let Some((id, batch)) = self.saves.pop_front() {
            self.save(id, batch);
        } else if let Some(edit) = self.holds.pop_front() {
            let result = self.hold(&edit);
            self.tell(Event::Held(edit.seq, result));
        } else if let Some((seq, keep, edit)) = self.discards.pop_front() {
            self.durable.pending.remove(&seq);
            let bytes = self.counters.a.lock().expect("no panic").held.remove(&seq);
            if keep {
                // It would be in A's trash.
                self.waived.extend(bytes);
            }
            self.say(|| format!("A lets go of held edit {seq}: {edit:?}"));
            self.tell(Event::Discarded(seq, Ok(())));
        } else {
            return false;
        }
        true
    }

    fn hold(&mut self, edit: &HeldEdit) -> Result<(), HoldFailure> {
        self.durable.next_seq = self.durable.next_seq.max(edit.seq + 1);
        if let Some(Entry::File(file)) = &edit.after {
            let shared = Shared(self.counters.a.clone());
            let content = Content::Pull(edit.path.clone());
            let mut bytes = Vec::new();
            let fetched = self.at_b(|_| {
                shared.source(&content, file)?.fetch(&[(0, file.size as u32)], &mut |_, piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })
            });
            match fetched {
                Some(Ok(())) => {}
                Some(Err(SourceError::Gone)) => return Err(HoldFailure::Gone),
                _ => return Err(HoldFailure::Lost),
            }
            self.counters.a.lock().expect("no panic").held.insert(edit.seq, bytes);
        }
        self.durable.pending.insert(edit.seq, edit.clone());
        Ok(())
    }

    /// Flushes the sources, then saves; as the saver does.
    fn save(&mut self, id: SaveId, batch: Batch) {
        let late = self.make_durable(&batch.archive);
        self.durable.save(batch, &late);
        if !late.is_empty() {
            self.tell(Event::NotDurable(late));
        }
        self.tell(Event::Saved(id, Ok(())));
    }

    /// Flushes what the sides had first, and what they removed; answers what could not be.
    fn make_durable(&mut self, rows: &[ArchiveRow]) -> Vec<RelPath> {
        let mut late = Vec::new();
        for side in Side::BOTH {
            let theirs = rows.iter().filter(|row| row.source.is_none_or(|source| source == side));
            let paths: Vec<RelPath> = theirs.map(|row| row.path.clone()).collect();
            let flush = |deep: &Deep| flush(&deep.sides[side].place.root, &paths);
            let flushed = paths.is_empty()
                || match side {
                    Side::A => flush(self),
                    Side::B => self.link && self.at_b(flush) == Some(true),
                };
            if !flushed {
                late.extend(paths);
            }
        }
        late
    }
}
