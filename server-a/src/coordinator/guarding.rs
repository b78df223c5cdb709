//! Halts: when what is seen looks like an accident, nothing moves until somebody has looked.

use common::change::{Change, Operation};
use common::entry::Entry;
use common::limits::CHANGES_IN_FLIGHT_MAX;
use common::path::RelPath;
use common::side::Side;
use common::tree::Tree;
use common::wire::message::{Content, Order, ReplicaId};

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
        /// What was removed or overwritten and not yet repeated at the other side.
        lost: Vec<(RelPath, Entry)>,
    },
    /// B is not the replica that the archive is about.
    OtherPeer {
        /// The one that the archive is about.
        known: ReplicaId,
        /// The one that is there.
        found: ReplicaId,
    },
    /// What was agreed cannot be remembered.
    CannotSave(String),
}

impl Halt {
    fn words(&self) -> String {
        match self {
            Halt::MassLoss { side, detail, .. } => format!("side {side}: {detail}"),
            Halt::OtherPeer { known, found } => format!(
                "server B has another replica ({found}) than the one known here ({known}); \
                 approving starts anew: both sides are united and nothing is deleted"
            ),
            Halt::CannotSave(reason) => format!("the archive cannot be saved: {reason}"),
        }
    }
}

impl Coordinator {
    /// Why nothing moves, if it does not.
    pub(super) fn halt_words(&self) -> Option<String> {
        let side = |s: Side| self.conditions[s].halted.as_ref().map(|w| format!("side {s}: {w}"));
        self.halt.as_ref().map(Halt::words).or_else(|| side(Side::A)).or_else(|| side(Side::B))
    }

    pub(super) fn halted(&self) -> bool {
        self.halt.is_some()
            || self.conditions.a.halted.is_some()
            || self.conditions.b.halted.is_some()
    }

    pub(super) fn halt_for(&mut self, halt: Halt, out: &mut Vec<Action>) {
        if self.halt.as_ref() != Some(&halt) {
            out.push(Action::Note(Note::Halted(halt.words())));
            self.halt = Some(halt);
        }
    }

    /// Counts what a side lost; halts when it is too much at once.
    pub(super) fn guard_against(
        &mut self,
        side: Side,
        lost: Vec<(RelPath, Entry)>,
        out: &mut Vec<Action>,
    ) {
        if lost.is_empty() {
            return;
        }
        let known = self.archive.iter().filter(|(_, e)| e.as_file().is_some()).count() as u64;
        self.removed[side].extend(lost.clone());
        match self.guard.note(self.now.moment, side, lost.len() as u64, known) {
            Ok(()) => {}
            Err(refusal) => {
                let lost = self.removed[side].clone().into_iter().collect();
                self.halt_for(Halt::MassLoss { side, detail: refusal.to_string(), lost }, out);
            }
        }
    }

    /// Goes on after a halt, with what was found.
    pub(super) fn approve(&mut self, out: &mut Vec<Action>) -> String {
        let mut done = Vec::new();
        match self.halt.take() {
            Some(Halt::MassLoss { side, .. }) => {
                self.guard.forget(side);
                self.removed[side].clear();
                done.push(format!("what side {side} removed or overwrote goes to the other side"));
            }
            Some(Halt::OtherPeer { found, .. }) => {
                self.forget_archive(found);
                done.push("both sides are united; nothing is deleted".to_string());
            }
            Some(Halt::CannotSave(_)) => done.push("saving is tried again".to_string()),
            None => {}
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
        format!("approved: {}", done.join("; "))
    }

    fn forget_archive(&mut self, found: ReplicaId) {
        self.archive = Tree::default();
        self.peer = Some(found);
        self.unsaved.peer = Some(found);
        self.unsaved.forget = true;
        self.unsaved.archive.clear();
        if self.ready.a && self.ready.b {
            self.mark_differences();
        }
    }

    /// Undoes what a side lost, from the other side. What was already repeated there comes back
    /// from that side's trash.
    pub(super) fn reject(&mut self, out: &mut Vec<Action>) -> Result<String, String> {
        let Some(Halt::MassLoss { side, lost, .. }) = self.halt.take() else {
            return Err("nothing is halted that could be rejected".to_string());
        };
        self.guard.forget(side);
        self.removed[side].clear();
        let mut restored = 0;
        for (path, entry) in lost {
            let other = self.seen[side.other()].get(&path).cloned();
            match other {
                Some(_) => {
                    // To the merge, this side never changed: the other side's version returns.
                    let now = self.seen[side].get(&path).cloned();
                    self.learn(&path, now, None);
                }
                None => {
                    self.restores.insert(path.clone(), (side.other(), entry));
                }
            }
            restored += 1;
            self.dirty.insert(path);
        }
        out.push(Action::Note(Note::Resumed));
        Ok(format!("rejected: {restored} files come back to side {side}"))
    }

    /// Takes back from a side's trash what it removed for the other side's sake, directories first.
    pub(super) fn step_restores(&mut self, out: &mut Vec<Action>) {
        let wanted: Vec<RelPath> = self.restores.keys().cloned().collect();
        for path in wanted {
            if self.flights.len() >= CHANGES_IN_FLIGHT_MAX {
                return;
            }
            let Some((side, entry)) = self.restores.get(&path).cloned() else { continue };
            let mut above: Vec<RelPath> = path.ancestors().collect();
            above.reverse();
            let missing = above.into_iter().find(|p| self.seen[side].get(p).is_none());
            let (path, after, content) = match missing {
                Some(directory) => (directory, Entry::Dir { mode: 0o755 }, Content::None),
                None => {
                    self.restores.remove(&path);
                    (path, entry, Content::Trash)
                }
            };
            if self.flights.touching(&path).is_none() && self.seen[side].get(&path).is_none() {
                let change = Change { path, before: None, after: Some(after) };
                self.fly(side, Operation::Change(change), content, Purpose::Restore, out);
            }
        }
    }
}
