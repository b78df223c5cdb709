//! Messages: whatever arrives is read or refused, and what is read means the same when it is
//! written and read again.

use std::fmt::Debug;
use std::path::Path;

use common::wire::cbor;
use common::wire::client::{Answer, Request};
use common::wire::log::LogRow;
use common::wire::message::{Hello, PeerMessage, Reception};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::edited::edited;
use crate::fuzzing::{Target, byte};

/// Which type, then its CBOR; with the highest bit set, edits of it in between.
pub(crate) const TARGET: Target = Target { name: "messages", run, seeds, mutants: 6000 };

fn run(bytes: &[u8]) -> bool {
    let made;
    let mut bytes = bytes;
    let sort = byte(&mut bytes);
    if sort & 0x80 != 0 {
        let Some(edited) = edited(&mut bytes) else { return false };
        made = edited;
        bytes = &made;
    }
    match sort % 0x80 % 6 {
        0 => is_itself::<PeerMessage>(bytes),
        1 => is_itself::<Request>(bytes),
        2 => is_itself::<Answer>(bytes),
        3 => is_itself::<Reception>(bytes),
        4 => is_itself::<Hello>(bytes),
        _ => is_itself::<LogRow>(bytes),
    }
}

fn is_itself<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Ok(value) = cbor::from_slice::<T>(bytes) else { return false };
    let written = cbor::to_vec(&value).expect("what was read can be written");
    assert_eq!(cbor::from_slice::<T>(&written).as_ref(), Ok(&value), "it means the same");
    assert_eq!(cbor::to_vec(&value).as_ref(), Ok(&written), "it is written in one way");
    true
}

/// Which type a frozen frame is, by the beginning of its name.
fn sort(name: &str) -> u8 {
    match name.split('_').next().unwrap_or_default() {
        "request" => 1,
        "answer" => 2,
        "reception" => 3,
        "hello" => 4,
        _ => 0,
    }
}

/// The frozen frames, and the same with edits that change little.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire");
    let mut seeds = Vec::new();
    for file in std::fs::read_dir(folder).expect("the frozen frames") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("a frame");
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(text, 16).expect("digits")
        };
        let frame: Vec<u8> = digits.chunks(2).map(byte).collect();
        seeds.push([&[sort(&name)], &frame[4..]].concat());
        seeds.push([&[sort(&name) | 0x80, 2, 3, 12, 0, 5, 12, 1], &frame[4..]].concat());
    }
    seeds.sort();
    seeds
}
