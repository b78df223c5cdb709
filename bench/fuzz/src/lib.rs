//! The fuzz targets, which are written beside the tests of what they try.
#![allow(dead_code, unused_imports, reason = "the short run is for `cargo test`")]

#[path = "../../../lab3-client/tests/it/fuzz/mod.rs"]
mod client_targets;
#[path = "../../../common/tests/it/fuzz/mod.rs"]
mod common_targets;
#[path = "../../../common/tests/it/fuzzing.rs"]
mod fuzzing;
#[path = "../../../server-a/tests/it/fuzz/mod.rs"]
mod server_a_targets;

/// Runs a target.
///
/// # Panics
/// When there is no such target, or a law is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let all = [common_targets::TARGETS, server_a_targets::TARGETS, client_targets::TARGETS];
    let target = all.into_iter().flatten().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes);
}
