//! Fuzz targets: what the client reads, of its user, of its files, and of server A.

use crate::fuzzing::{Target, short};

pub(crate) mod answers;
pub(crate) mod arguments;
#[path = "../../../../common/tests/it/fuzz/edited.rs"]
mod edited;
#[path = "../../../../common/tests/it/fuzz/messages.rs"]
#[allow(dead_code, reason = "only its honest inputs are taken")]
mod messages;
pub(crate) mod shown;

/// All of them, for whoever runs them by name.
#[allow(dead_code, reason = "only bench/fuzz asks by name")]
pub(crate) const TARGETS: &[&Target] = &[&answers::TARGET, &arguments::TARGET, &shown::TARGET];

#[test]
fn no_answer_makes_a_terminal_act() {
    short(&answers::TARGET);
}

#[test]
fn any_command_line_is_read_or_refused_and_both_spellings_mean_the_same() {
    short(&arguments::TARGET);
}

#[test]
fn an_index_means_what_was_shown_or_nothing() {
    short(&shown::TARGET);
}
