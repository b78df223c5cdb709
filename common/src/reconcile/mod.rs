//! What is to be done at one path, from the archive and what both sides have.
//!
//! [`decide`] is the one place where the trees are compared. It is a function of the view alone: no
//! disk, no clock, no memory of what it said before. It never says that a directory with rows below
//! is to be removed or replaced, and never that a content is to be replaced before the view shows
//! that it is superseded or that a copy of it stands at both sides.
//!
//! The one idea: it answers with what can be done *now*, and is asked again afterwards. Whether a
//! path is kept depends on the three entries at that path only; a kept path makes its ancestors
//! directories, a path that is to go waits for what is below it. So every order of asking leads to
//! the same trees, and stopping anywhere leaves nothing half decided.

pub mod conflict;
pub mod merge;
pub mod safety;

use crate::change::Change;
use crate::entry::{Entry, same};
use crate::path::RelPath;
use crate::reconcile::merge::{Merged, merge};
use crate::side::{PerSide, Side};
use crate::tree::Tree;

/// The three trees that are compared.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The last state that both sides agreed on; empty when there is none.
    pub archive: &'a Tree,
    /// What each side was last seen to have.
    pub seen: PerSide<&'a Tree>,
}

impl<'a> View<'a> {
    /// What both sides have at a path.
    #[must_use]
    pub fn at(&self, path: &RelPath) -> PerSide<Option<&'a Entry>> {
        PerSide { a: self.seen.a.get(path), b: self.seen.b.get(path) }
    }

    fn has_dir(&self, side: Side, path: &RelPath) -> bool {
        self.seen[side].get(path).is_some_and(Entry::is_dir)
    }
}

/// Where the content of a step's `after` is to be had: a file in the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// At this side.
    pub side: Side,
    /// Under this name.
    pub path: RelPath,
}

/// One change at one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The side that is changed.
    pub side: Side,
    /// From what to what; its path may be an ancestor or a conflict copy of the one asked about.
    pub change: Change,
    /// Where the content comes from; `None` when none is needed: a directory, a link, a deletion,
    /// or metadata only.
    pub origin: Option<Origin>,
}

/// What can be done at a path now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Both sides are the same here.
    Agreed {
        /// Whether the archive has something else and must be told.
        learn: bool,
    },
    /// These, independently of each other. After their outcomes the path is decided again.
    Steps(Vec<Step>),
    /// Nothing until the row at this path has come, changed or gone. It may be one that is kept:
    /// then its own decision makes this path agreed, and waiting is harmless.
    After {
        /// The side that has the row, or should have it.
        side: Side,
        /// The row.
        path: RelPath,
    },
}

/// Two edits that exclude each other. Both are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name that both wanted.
    pub path: RelPath,
    /// Where the losing version goes, at both sides.
    pub copy: RelPath,
    /// The side whose version does not keep the name.
    pub loser: Side,
}

/// What can be done at a path now, and the conflict that it comes from, if it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What can be done.
    pub next: Next,
    /// For people: which conflict the steps settle.
    pub conflict: Option<Conflict>,
}

/// Decides one path.
///
/// Both trees of the view should be well-formed. Where one is not, because a part of an observation
/// is still to come, the answer is to wait.
#[must_use]
pub fn decide(view: &View<'_>, path: &RelPath) -> Verdict {
    let seen = view.at(path);
    let archived = view.archive.get(path);
    if same(seen.a, seen.b) {
        return plain(Next::Agreed { learn: !same(archived, seen.a) });
    }
    match merge(archived, seen) {
        Merged::Conflict { loser } => set_aside(view, path, loser),
        Merged::One(None) => plain(bring(view, path, None)),
        Merged::One(target) => {
            raise(view, path).unwrap_or_else(|| plain(bring(view, path, target.as_ref())))
        }
    }
}

fn plain(next: Next) -> Verdict {
    Verdict { next, conflict: None }
}

/// Deals with the topmost ancestor of a kept path that is not a directory at both sides.
///
/// The side that has the kept path has all its ancestors. At the other one such an ancestor is
/// absent, or a file or link is in the way, which is set aside unless it is superseded.
fn raise(view: &View<'_>, path: &RelPath) -> Option<Verdict> {
    let stands = |path: &RelPath| Side::BOTH.map(|side| view.has_dir(side, path)) == [true; 2];
    if path.parent().is_none_or(|parent| stands(&parent)) {
        return None;
    }
    let top = path.ancestors().filter(|ancestor| !stands(ancestor)).last()?;
    let Some(has) = Side::BOTH.into_iter().find(|&side| view.has_dir(side, &top)) else {
        // Neither side has the directory, so the row of the path itself is out of date, or it came
        // before that of the directory.
        let side = if view.seen.a.get(path).is_some() { Side::A } else { Side::B };
        return Some(plain(Next::After { side, path: top }));
    };
    let lacks = has.other();
    let superseded = match (view.seen[lacks].get(&top), view.archive.get(&top)) {
        (None, _) => true,
        (Some(in_the_way), Some(archived)) => in_the_way.same_content(archived),
        (Some(_), None) => false,
    };
    Some(if superseded {
        plain(bring(view, &top, view.seen[has].get(&top)))
    } else {
        set_aside(view, &top, lacks)
    })
}

/// Keeps both versions: first the loser's under another name at both sides, then the winner's under
/// the name itself.
fn set_aside(view: &View<'_>, path: &RelPath, loser: Side) -> Verdict {
    let seen = view.at(path);
    let Some(losing) = seen[loser] else {
        debug_assert!(false, "only a version that is there can lose");
        return plain(bring(view, path, seen[loser.other()]));
    };
    let copy = conflict::free_copy(view, path, loser, losing);
    let at_copy = view.at(&copy);
    let missing: Vec<Step> = Side::BOTH
        .into_iter()
        .filter(|&side| at_copy[side].is_none())
        .map(|side| Step {
            side,
            change: Change {
                path: copy.clone(),
                before: None,
                after: Some(losing.clone()),
                copy: None,
            },
            origin: origin(None, Some(losing), loser, path),
        })
        .collect();
    let mut next = if missing.is_empty() {
        bring(view, path, seen[loser.other()])
    } else {
        Next::Steps(missing)
    };
    if let Next::Steps(steps) = &mut next {
        // It may be gone by now.
        let loses = |step: &&mut Step| step.side == loser && step.change.path == *path;
        steps.iter_mut().filter(loses).for_each(|step| step.change.copy = Some(copy.clone()));
    }
    Verdict { next, conflict: Some(Conflict { path: path.clone(), copy, loser }) }
}

/// Brings a path to one entry wherever it is another one.
fn bring(view: &View<'_>, path: &RelPath, target: Option<&Entry>) -> Next {
    let seen = view.at(path);
    let stays_dir = target.is_some_and(Entry::is_dir);
    let mut steps = Vec::new();
    for side in Side::BOTH {
        if same(seen[side], target) {
            continue;
        }
        if !stays_dir && let Some((row, _)) = view.seen[side].below(path).next() {
            return Next::After { side, path: row.clone() };
        }
        steps.push(Step {
            side,
            change: Change {
                path: path.clone(),
                before: seen[side].cloned(),
                after: target.cloned(),
                copy: None,
            },
            origin: origin(seen[side], target, side.other(), path),
        });
    }
    Next::Steps(steps)
}

/// Where the content for `after` is, if going there from `before` needs any.
fn origin(
    before: Option<&Entry>,
    after: Option<&Entry>,
    side: Side,
    path: &RelPath,
) -> Option<Origin> {
    let wanted = after.filter(|after| after.as_file().is_some())?;
    let at_hand = before.is_some_and(|before| before.same_content(wanted));
    (!at_hand).then(|| Origin { side, path: path.clone() })
}
