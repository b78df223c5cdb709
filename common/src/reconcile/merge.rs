//! The three-way merge of the entries at one path.
//!
//! It looks at no other path and gives no names to conflict copies. Content and metadata are merged
//! apart, and each attribute of the metadata alone.
//!
//! The one idea: the result does not change while it is being applied. A merge of which one side
//! has been carried out, and the other not yet, merges to the same entry again. So modes that were
//! changed at both sides are not picked by a rule of their own: they go with the content that was
//! changed, or else with the time that is newer, and are taken over together with that time.

use crate::entry::{Entry, File, same};
use crate::side::{PerSide, Side};

/// What the merge of one path comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Both sides shall have this.
    One(Option<Entry>),
    /// Both contents were changed, each its own way: this side's does not keep the name.
    Conflict {
        /// The side whose version is set aside.
        loser: Side,
    },
}

/// Merges what both sides have, given what they last agreed on.
#[must_use]
pub fn merge(archived: Option<&Entry>, seen: PerSide<Option<&Entry>>) -> Merged {
    if same(archived, seen.a) {
        return Merged::One(seen.b.cloned());
    }
    if same(archived, seen.b) {
        return Merged::One(seen.a.cloned());
    }
    // Both were changed. An edit outlives a deletion.
    let (Some(a), Some(b)) = (seen.a, seen.b) else {
        return Merged::One(seen.a.or(seen.b).cloned());
    };
    if a.same_content(b) {
        return Merged::One(Some(merge_metadata(archived, a, b)));
    }
    let kept_content = |entry: &Entry| archived.is_some_and(|o| o.same_content(entry));
    match (kept_content(a), kept_content(b)) {
        (true, _) => Merged::One(Some(take_content(archived, b, a))),
        (_, true) => Merged::One(Some(take_content(archived, a, b))),
        (false, false) => Merged::Conflict { loser: loser(a, b) },
    }
}

/// Which of two contents does not keep the name: a directory does, else the newer, else A's.
fn loser(a: &Entry, b: &Entry) -> Side {
    let a_stays = match (a.is_dir(), b.is_dir()) {
        (true, _) => true,
        (_, true) => false,
        (false, false) => a.modified() >= b.modified(),
    };
    if a_stays { Side::B } else { Side::A }
}

/// The content is one side's; the other changed metadata only, of which the mode can still matter.
fn take_content(archived: Option<&Entry>, content: &Entry, metadata: &Entry) -> Entry {
    match (archived, content, metadata) {
        (Some(Entry::File(o)), Entry::File(new), Entry::File(old)) if new.mode == o.mode => {
            Entry::from(File { mode: old.mode, ..**new })
        }
        _ => content.clone(),
    }
}

/// Both have the same content; at most the metadata differ.
fn merge_metadata(archived: Option<&Entry>, a: &Entry, b: &Entry) -> Entry {
    match (a, b) {
        (Entry::File(a), Entry::File(b)) => {
            Entry::from(merge_file(archived.and_then(Entry::as_file), a, b))
        }
        (Entry::Dir { mode: a }, Entry::Dir { mode: b }) => {
            let base = match archived {
                Some(Entry::Dir { mode }) => Some(mode),
                _ => None,
            };
            Entry::Dir { mode: *one_sided(base, a, b).unwrap_or(a) }
        }
        // Links with the same target are the same.
        _ => a.clone(),
    }
}

fn merge_file(archived: Option<&File>, a: &File, b: &File) -> File {
    let newer = if a.modified >= b.modified { a } else { b };
    let Some(mode) = one_sided(archived.map(|o| &o.mode), &a.mode, &b.mode) else {
        return newer.clone();
    };
    let modified = one_sided(archived.map(|o| &o.modified), &a.modified, &b.modified);
    File { mode: *mode, modified: *modified.unwrap_or(&newer.modified), ..a.clone() }
}

/// The value of an attribute, unless both sides changed it, each its own way.
fn one_sided<'a, T: PartialEq>(base: Option<&T>, a: &'a T, b: &'a T) -> Option<&'a T> {
    if a == b || base == Some(b) {
        Some(a)
    } else if base == Some(a) {
        Some(b)
    } else {
        None
    }
}
