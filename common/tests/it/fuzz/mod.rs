//! Fuzz targets: all in `common` that reads bytes from outside.

use crate::fuzzing::{Target, short};

pub(crate) mod between;
pub(crate) mod deltas;
pub(crate) mod edited;
pub(crate) mod frames;
pub(crate) mod handshakes;
pub(crate) mod intents;
pub(crate) mod messages;
pub(crate) mod packed;
pub(crate) mod paths;
pub(crate) mod patterns;
pub(crate) mod staged;
pub(crate) mod stores;
pub(crate) mod trusted;

/// All of them, for whoever runs them by name.
#[allow(dead_code, reason = "only bench/fuzz asks by name")]
pub(crate) const TARGETS: &[&Target] = &[
    &deltas::TARGET,
    &frames::TARGET,
    &handshakes::TARGET,
    &intents::TARGET,
    &messages::TARGET,
    &packed::TARGET,
    &paths::TARGET,
    &patterns::TARGET,
    &staged::TARGET,
    &stores::TARGET,
    &trusted::TARGET,
];

#[test]
fn a_plan_covers_the_target_whatever_recipes_say() {
    short(&deltas::TARGET);
}

#[test]
fn frames_are_the_same_however_a_stream_is_split() {
    short(&frames::TARGET);
}

#[test]
fn nobody_is_let_in_who_proves_nothing() {
    short(&handshakes::TARGET);
}

#[test]
fn an_intent_that_is_read_is_the_one_that_was_written() {
    short(&intents::TARGET);
}

#[test]
fn what_is_decoded_is_itself_when_it_is_encoded() {
    short(&messages::TARGET);
}

#[test]
fn a_packed_piece_is_what_it_says_or_none() {
    short(&packed::TARGET);
}

#[test]
fn no_bytes_make_a_path_that_leaves_the_root() {
    short(&paths::TARGET);
}

#[test]
fn any_patterns_can_be_obeyed() {
    short(&patterns::TARGET);
}

#[test]
fn nothing_is_staged_beyond_what_was_announced() {
    short(&staged::TARGET);
}

#[test]
fn no_store_answers_with_a_row_that_was_not_saved() {
    short(&stores::TARGET);
}

#[test]
fn nobody_is_granted_more_than_a_line_says() {
    short(&trusted::TARGET);
}
