//! Conflict copies: which there are, and what it takes to settle them.
//!
//! A copy is known by its name and by its content: the name ends in the first digits of the digest
//! of what lost. What is only called so, or was edited since, is listed as such, and is settled
//! only when somebody names it. Nothing here changes anything: the steps are taken as errands.

use std::collections::{BTreeMap, BTreeSet};

use common::change::Operation;
use common::entry::Entry;
use common::limits::NAME_BYTES_MAX;
use common::path::RelPath;
use common::reconcile::View;
use common::reconcile::conflict::{
    CopyName, copy_path, identity, is_as_named, kept_path, read_copy_name,
};
use common::side::Side;
use common::tree::Tree;
use common::wire::client::Refusal;
use common::wire::client::kept::{ConflictRow, Fate, ResolvedRow, Take};
use common::wire::message::Content;

use super::desk::refusal;
use super::errands::{Step, put};

/// Names that are tried for a copy that is kept.
const KEPT_MAX: u32 = 1000;
/// Copies of one version that are told apart when an original with a long name is looked for.
const ATTEMPTS_MAX: u32 = 8;

/// The copies that lost one name.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The name.
    pub(super) original: RelPath,
    /// Those that are to be settled.
    pub(super) copies: Vec<ConflictRow>,
    /// Those that hold something else than their names say, and were not named.
    pub(super) edited: Vec<ConflictRow>,
}

/// What it takes to settle a group.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What becomes of each copy.
    pub(super) rows: Vec<ResolvedRow>,
    /// The steps at A, one after another.
    pub(super) steps: Vec<Step>,
    /// All paths that it touches.
    pub(super) paths: BTreeSet<RelPath>,
}

/// All conflict copies that either side has, in the order of paths.
pub(super) fn conflict_rows(view: &View<'_>) -> Vec<ConflictRow> {
    let mut rows = BTreeMap::new();
    for side in [Side::B, Side::A] {
        for (path, entry) in view.seen[side].iter() {
            let Some(name) = read_copy_name(path.name()) else { continue };
            let Some(original) = original_of(view, path, &name, entry) else { continue };
            let at = view.at(&original);
            let row = ConflictRow {
                path: path.clone(),
                side: name.side,
                kind: entry.kind(),
                size: entry.size(),
                modified: entry.modified().unwrap_or_default(),
                digest: identity(entry),
                rival: at.a.or(at.b).map(identity),
                edited: !is_as_named(&name, entry),
                original,
            };
            rows.insert(path.clone(), row);
        }
    }
    rows.into_values().collect()
}

/// The copies of each name; `picked` are settled whatever they hold.
pub(super) fn groups(rows: Vec<ConflictRow>, picked: bool) -> Vec<Group> {
    let mut groups: BTreeMap<RelPath, Group> = BTreeMap::new();
    for row in rows {
        let original = row.original.clone();
        let empty = Group { original, copies: Vec::new(), edited: Vec::new() };
        let group = groups.entry(row.original.clone()).or_insert(empty);
        if row.edited && !picked { &mut group.edited } else { &mut group.copies }.push(row);
    }
    groups.into_values().collect()
}

/// What it takes to settle a group in A's tree. `is_free` says whether a name may be taken.
pub(super) fn plan(
    a: &Tree,
    group: &Group,
    take: Take,
    is_free: impl Fn(&RelPath) -> bool,
) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    plan.paths.insert(group.original.clone());
    plan.paths.extend(group.copies.iter().map(|copy| copy.path.clone()));
    if group.copies.is_empty() {
        return Ok(plan);
    }
    if take == Take::Both {
        for copy in &group.copies {
            let kept = (0..KEPT_MAX)
                .map(|attempt| kept_path(&copy.original, copy.side, attempt))
                .find(|kept| is_free(kept) && !plan.paths.contains(kept));
            let Some(kept) = kept else {
                let message = format!("no name is free beside `{}`", copy.original);
                return Err(refusal(message, None));
            };
            plan.steps.extend(rename(a, &copy.path, &kept));
            plan.paths.insert(kept.clone());
            plan.tell(copy, Fate::Renamed(kept));
        }
        return Ok(plan);
    }
    let rival = a.get(&group.original);
    let winner = winner(rival, group, take)?;
    if let Some(winner) = winner {
        plan.give_name(a, winner)?;
    }
    for copy in &group.copies {
        if winner.is_some_and(|winner| winner.path == copy.path) {
            plan.tell(copy, Fate::TakesName);
        } else {
            plan.steps.extend(removal(a, &copy.path));
            plan.tell(copy, Fate::Trashed);
        }
    }
    Ok(plan)
}

impl Plan {
    fn tell(&mut self, copy: &ConflictRow, fate: Fate) {
        let (path, original) = (copy.path.clone(), copy.original.clone());
        self.rows.push(ResolvedRow { path, original, fate });
    }

    /// The copy takes the name; what was there goes to trash. The copy goes last, so that its
    /// content is always somewhere in the tree.
    fn give_name(&mut self, a: &Tree, winner: &ConflictRow) -> Result<(), Refusal> {
        let (path, name) = (&winner.path, &winner.original);
        let Some(copy) = a.get(path) else { return Ok(()) };
        match a.get(name) {
            None => self.steps.extend(rename(a, path, name)),
            Some(Entry::Dir { .. }) => {
                let hint = "`--take both` keeps both; or move the directory away first";
                let message = format!("`{name}` is a directory, and is not replaced");
                return Err(refusal(message, Some(hint)));
            }
            Some(rival) if copy.is_dir() => {
                self.steps.push(put(name.clone(), Some(rival.clone()), None, Content::None));
                self.steps.extend(rename(a, path, name));
            }
            Some(rival) => {
                if !rival.same_content(copy) {
                    let (before, after) = (Some(rival.clone()), Some(copy.clone()));
                    let content = Content::Local(path.clone());
                    self.steps.push(put(name.clone(), before, after, content));
                }
                self.steps.extend(removal(a, path));
            }
        }
        Ok(())
    }
}

/// The copy that is to have the name; `None` when what is there keeps it.
fn winner<'g>(
    rival: Option<&Entry>,
    group: &'g Group,
    take: Take,
) -> Result<Option<&'g ConflictRow>, Refusal> {
    let wanted = match take {
        Take::A => Some(Side::A),
        Take::B => Some(Side::B),
        Take::Newest | Take::Both => None,
    };
    let copies = group.copies.iter();
    let fits = copies.filter(|copy| wanted.is_none_or(|side| copy.side == side));
    // Of equally old ones the one that has the name keeps it, then the first.
    let newest = fits.rev().max_by_key(|copy| copy.modified);
    // What has the name is the version of a side whose opponent lost it.
    let is_wanted = |side: Side| group.copies.iter().any(|copy| copy.side != side);
    let rival = rival.filter(|_| wanted.is_none_or(is_wanted));
    let modified = |entry: &Entry| entry.modified().unwrap_or_default();
    match (rival, newest) {
        (None, Some(copy)) => Ok(Some(copy)),
        (Some(rival), Some(copy)) if modified(rival) < copy.modified => Ok(Some(copy)),
        (Some(_), _) => Ok(None),
        (None, None) => {
            let side = wanted.unwrap_or(Side::A);
            let message = format!("there is no version of side {side} of `{}`", group.original);
            let hint = "take the other side's, or delete the copy";
            Err(refusal(message, Some(hint)))
        }
    }
}

/// Takes away a file, a link, or a directory with all that it was seen to hold.
fn removal(a: &Tree, path: &RelPath) -> Vec<Step> {
    let own = a.get(path).map(|entry| (path, entry));
    let rows = own.into_iter().chain(a.below(path));
    let rows: Vec<(&RelPath, &Entry)> = rows.collect();
    let step = |(path, entry): (&RelPath, &Entry)| {
        put(path.clone(), Some(entry.clone()), None, Content::None)
    };
    rows.into_iter().rev().map(step).collect()
}

fn rename(a: &Tree, from: &RelPath, to: &RelPath) -> Option<Step> {
    let before = a.get(from)?.clone();
    let operation = Operation::Rename { from: from.clone(), to: to.clone(), before };
    Some((operation, Content::None))
}

/// The name that a copy lost. One that was shortened is looked for beside the copy.
fn original_of(view: &View<'_>, path: &RelPath, name: &CopyName, entry: &Entry) -> Option<RelPath> {
    let plain = RelPath::within(path.parent().as_ref(), &name.original).ok()?;
    let at = view.at(&plain);
    // Between characters up to three bytes more are cut than needed.
    let whole = path.name().len() + 3 < NAME_BYTES_MAX;
    if whole || at.a.is_some() || at.b.is_some() {
        return Some(plain);
    }
    let made = |original: &&RelPath| {
        // Shortened alike, a copy would make itself, and its brothers.
        original.parent() == path.parent()
            && read_copy_name(original.name()).is_none()
            && (0..ATTEMPTS_MAX).any(|n| copy_path(original, name.side, entry, n) == *path)
    };
    let rows = view.seen.a.iter().chain(view.seen.b.iter()).map(|(original, _)| original);
    Some(rows.into_iter().find(made).cloned().unwrap_or(plain))
}
