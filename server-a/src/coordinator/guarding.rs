//! Halts: when what is seen looks like an accident, nothing moves until somebody has looked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::change::{Change, Operation};
use common::digest::Digest;
use common::entry::Entry;
use common::limits::CHANGES_IN_FLIGHT_MAX;
use common::path::RelPath;
use common::problem::Problem;
use common::side::Side;
use common::time::Moment;
use common::tree::Tree;
use common::wire::log::Happened;
use common::wire::message::{Content, Order, Peer};

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::Purpose;

/// Why nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Too much was removed or overwritten at a side.
    MassLoss {
        /// At which side.
        side: Side,
        /// In words.
        detail: String,
    },
    /// B is not the replica that the archive is about.
    OtherPeer {
        /// The one that the archive is about.
        known: Peer,
        /// The one that is there: another one, or the same as it once was.
        found: Peer,
    },
    /// What was agreed cannot be remembered.
    CannotSave(String),
}

impl Halt {
    fn words(&self) -> String {
        match self {
            Halt::MassLoss { side, detail, .. } => format!("side {side}: {detail}"),
            Halt::OtherPeer { known, found } => {
                let what = if known.id != found.id {
                    format!("has another replica ({}) than the one known here", found.id)
                } else if found.met < known.met {
                    "has an old copy of its replica".to_string()
                } else {
                    "has met a newer state of server A than this one".to_string()
                };
                format!(
                    "server B {what}; approving starts anew: both sides are united and nothing \
                     is deleted"
                )
            }
            Halt::CannotSave(reason) => format!("the archive cannot be saved: {reason}"),
        }
    }

    /// Whether a newer reason takes the place of this one.
    fn is_sort_of(&self, other: &Halt) -> bool {
        match (self, other) {
            (Halt::MassLoss { side: a, .. }, Halt::MassLoss { side: b, .. }) => a == b,
            (Halt::OtherPeer { .. }, Halt::OtherPeer { .. }) => true,
            (Halt::CannotSave(_), Halt::CannotSave(_)) => true,
            _ => false,
        }
    }
}

/// What a side removed or overwrote within the window, each path once.
#[derive(Default)]
pub(super) struct Lately {
    was: BTreeMap<RelPath, Entry>,
    order: VecDeque<(Moment, RelPath)>,
}

impl Lately {
    fn forget_before(&mut self, start: Moment) {
        while self.order.front().is_some_and(|(at, _)| *at < start) {
            if let Some((_, path)) = self.order.pop_front() {
                self.was.remove(&path);
            }
        }
    }

    /// Adds what is lost; answers whether it was not yet known to be.
    fn add(&mut self, path: RelPath, entry: Entry, now: Moment) -> bool {
        if self.was.contains_key(&path) {
            return false;
        }
        self.order.push_back((now, path.clone()));
        self.was.insert(path, entry);
        true
    }

    fn take(&mut self) -> BTreeMap<RelPath, Entry> {
        self.order.clear();
        std::mem::take(&mut self.was)
    }
}

/// Whether it is a regular file, which is what the guard counts.
pub(super) fn is_a_file(entry: &Entry) -> bool {
    entry.as_file().is_some()
}

/// How many files a tree has.
pub(super) fn count_files(tree: &Tree) -> u64 {
    tree.iter().filter(|(_, entry)| is_a_file(entry)).count() as u64
}

impl Coordinator {
    /// Why nothing moves, if it does not.
    pub(super) fn halt_words(&self) -> Option<String> {
        let ours = self.halts.iter().map(Halt::words);
        let theirs = Side::BOTH.into_iter().filter_map(|side| {
            self.conditions[side].halted.as_ref().map(|why| format!("side {side}: {why}"))
        });
        let words: Vec<String> = ours.chain(theirs).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    pub(super) fn halted(&self) -> bool {
        !self.halts.is_empty()
            || self.conditions.a.halted.is_some()
            || self.conditions.b.halted.is_some()
    }

    /// Something was saved: if that had failed before, all goes on.
    pub(super) fn can_save_again(&mut self, out: &mut Vec<Action>) {
        if self.cannot_save() {
            self.halts.retain(|halt| !matches!(halt, Halt::CannotSave(_)));
            out.push(Action::Note(Note::Resumed));
        }
    }

    /// Whether saving failed, and did not succeed since.
    pub(super) fn cannot_save(&self) -> bool {
        self.halts.iter().any(|halt| matches!(halt, Halt::CannotSave(_)))
    }

    pub(super) fn halt_for(&mut self, halt: Halt, out: &mut Vec<Action>) {
        if !self.halts.contains(&halt) {
            out.push(Action::Note(Note::Halted(halt.words())));
            self.record_word(Happened::Halted, None, None, Some(halt.words()), out);
            self.halts.retain(|old| !old.is_sort_of(&halt));
            self.halts.push(halt);
        }
    }

    /// B is away: whether it is another replica will be seen when it is back.
    pub(super) fn forget_other_peer(&mut self) {
        self.halts.retain(|halt| !matches!(halt, Halt::OtherPeer { .. }));
    }

    /// Counts what a side lost; halts when it is too much at once. A path counts once within the
    /// window, however often it is written.
    pub(super) fn guard_against(
        &mut self,
        side: Side,
        lost: Vec<(RelPath, Entry)>,
        out: &mut Vec<Action>,
    ) {
        if lost.is_empty() {
            return;
        }
        let now = self.now.moment;
        let lately = &mut self.lately[side];
        lately.forget_before(Moment(now.0.saturating_sub(self.window_ms)));
        let mut files = 0;
        for (path, entry) in lost {
            let is_file = is_a_file(&entry);
            files += u64::from(lately.add(path, entry, now) && is_file);
        }
        if let Err(refusal) = self.guard.note(now, side, files, self.files) {
            self.halt_for(Halt::MassLoss { side, detail: refusal.to_string() }, out);
        }
    }

    /// Whether B is not the one that the archive is about.
    pub(super) fn is_of_another_peer(&self) -> bool {
        self.halts.iter().any(|halt| matches!(halt, Halt::OtherPeer { .. }))
    }

    /// What of the archive a side has no longer, though it told everything. A file that is there
    /// under a name that the archive does not know was moved, not lost.
    pub(super) fn lost_at(
        &self,
        tree: &Tree,
        problems: &BTreeMap<RelPath, Problem>,
    ) -> Vec<(RelPath, Entry)> {
        let elsewhere: BTreeSet<Digest> = self
            .archive
            .beside(tree)
            .filter(|(_, agreed, _)| agreed.is_none())
            .filter_map(|(_, _, now)| now?.as_file().map(|file| file.digest))
            .collect();
        let unknown = |path: &RelPath| {
            problems.contains_key(path) || path.ancestors().any(|p| problems.contains_key(&p))
        };
        let lost = self.archive.beside(tree).filter_map(|(path, agreed, now)| {
            let entry = agreed?;
            let is_lost = !now.is_some_and(|now| now.same_content(entry))
                && !entry.as_file().is_some_and(|file| elsewhere.contains(&file.digest))
                && (problems.is_empty() || !unknown(path));
            is_lost.then(|| (path.clone(), entry.clone()))
        });
        lost.collect()
    }

    /// Goes on after a halt, with what was found.
    pub(super) fn approve(&mut self, out: &mut Vec<Action>) -> String {
        let mut done = Vec::new();
        for halt in std::mem::take(&mut self.halts) {
            done.push(match halt {
                Halt::MassLoss { side, .. } => {
                    self.guard.forget(side);
                    self.lately[side].take();
                    format!("what side {side} removed or overwrote goes to the other side")
                }
                Halt::OtherPeer { known, found } => {
                    self.forget_archive(out);
                    self.meet(Peer { id: found.id, met: known.met.max(found.met) }, out);
                    "both sides are united; nothing is deleted".to_string()
                }
                Halt::CannotSave(_) => "saving is tried again".to_string(),
            });
        }
        for side in Side::BOTH {
            if self.conditions[side].halted.is_some() {
                out.push(Action::Order(side, Order::Approve));
                done.push(format!("side {side} goes on with its directory as it is"));
            }
        }
        if done.is_empty() {
            return "nothing is halted".to_string();
        }
        out.push(Action::Note(Note::Resumed));
        self.record_word(Happened::Approved, None, None, Some(done.join("; ")), out);
        format!("approved: {}", done.join("; "))
    }

    fn forget_archive(&mut self, out: &mut Vec<Action>) {
        self.archive = Tree::default();
        self.forget_unheard(out);
        self.checks.moved();
        self.files = 0;
        self.unsaved.forget = true;
        self.unsaved.archive.clear();
        self.stored.clear();
        for side in Side::BOTH {
            self.guard.forget(side);
            self.lately[side].take();
        }
        if self.ready.a && self.ready.b {
            self.mark_differences();
        }
    }

    /// Undoes what a side lost, from the other side. What was already repeated there comes back
    /// from that side's trash.
    pub(super) fn reject(&mut self, out: &mut Vec<Action>) -> Result<String, String> {
        let loss = |halt: &Halt| match halt {
            Halt::MassLoss { side, .. } => Some(*side),
            _ => None,
        };
        let Some(side) = self.halts.iter().find_map(loss) else {
            return Err("nothing is halted that could be rejected".to_string());
        };
        self.halts.retain(|halt| loss(halt) != Some(side));
        self.guard.forget(side);
        let mut restored = 0;
        for (path, entry) in self.lately[side].take() {
            restored += u64::from(is_a_file(&entry));
            let now = self.seen[side].get(&path).cloned();
            if self.seen[side.other()].get(&path).is_none() {
                self.restores.insert(path.clone(), (side.other(), entry));
            }
            // To the merge, this side never changed: the other side's version returns.
            self.learn(&path, now, None);
            self.dirty.insert(path);
        }
        out.push(Action::Note(Note::Resumed));
        let detail = format!("{restored} files come back to side {side}");
        self.record_word(Happened::Rejected, None, None, Some(detail.clone()), out);
        Ok(format!("rejected: {detail}"))
    }

    /// Takes back from a side's trash what it removed for the other side's sake, directories first.
    pub(super) fn step_restores(&mut self, out: &mut Vec<Action>) {
        while self.flights.len() < CHANGES_IN_FLIGHT_MAX
            && let Some((path, (side, entry))) = self.restores.pop_first()
        {
            if side == Side::A && self.locks.covering(&path).is_some() {
                continue;
            }
            if self.flights.touching(&path).is_some() {
                self.restores.insert(path, (side, entry));
                return;
            }
            let mut above: Vec<RelPath> = path.ancestors().collect();
            above.reverse();
            if let Some(missing) = above.into_iter().find(|p| self.seen[side].get(p).is_none()) {
                self.restores.insert(path, (side, entry));
                self.restores.insert(missing, (side, Entry::Dir { mode: 0o755 }));
                continue;
            }
            if self.seen[side].get(&path).is_none() {
                let content = if is_a_file(&entry) { Content::Trash } else { Content::None };
                let change = Change { path, before: None, after: Some(entry), copy: None };
                self.fly(side, Operation::Change(change), content, Purpose::Restore, out);
            }
        }
    }
}
