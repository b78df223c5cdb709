//! Fuzz targets: what server A reads of its own files, whatever became of them.

use crate::fuzzing::{Target, short};

pub(crate) mod held;
pub(crate) mod journal;
pub(crate) mod underway;

/// All of them, for whoever runs them by name.
#[allow(dead_code, reason = "only bench/fuzz asks by name")]
pub(crate) const TARGETS: &[&Target] = &[&held::TARGET, &journal::TARGET, &underway::TARGET];

#[test]
fn no_file_in_pending_is_taken_for_another_edit_or_lost() {
    short(&held::TARGET);
}

#[test]
fn a_journal_goes_on_behind_whatever_was_in_its_files() {
    short(&journal::TARGET);
}

#[test]
fn what_is_remembered_of_orders_is_remembered_alike_again() {
    short(&underway::TARGET);
}
