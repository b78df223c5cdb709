//! The bytes of every message, frozen in `fixtures/wire`. `LAB3_BLESS=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::limits::FRAME_BYTES_MAX;
use common::wire::cbor;
use common::wire::client::{Answer, Request};
use common::wire::connection::encode;
use common::wire::message::{PeerMessage, Reception};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire_samples;

/// Frozen frames by name, in the order in which they were added.
pub(crate) struct Golden {
    frames: BTreeMap<&'static str, Vec<u8>>,
}

impl Golden {
    /// Adds a message; it must survive being written and read.
    pub(crate) fn add<T>(&mut self, name: &'static str, message: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let frame = encode(message, FRAME_BYTES_MAX).expect("writable");
        assert_eq!(cbor::from_slice::<T>(&frame[4..]).as_ref(), Ok(message), "{name}");
        assert!(self.frames.insert(name, frame).is_none(), "`{name}` is there twice");
    }
}

fn golden() -> Golden {
    let mut golden = Golden { frames: BTreeMap::new() };
    wire_samples::handshake(&mut golden);
    wire_samples::orders(&mut golden);
    wire_samples::reports(&mut golden);
    wire_samples::content(&mut golden);
    wire_samples::requests(&mut golden);
    wire_samples::answers(&mut golden);
    golden
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(frame: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    frame.chunks(32).map(line).collect()
}

#[test]
fn every_message_has_the_bytes_that_it_always_had() {
    let bless = std::env::var_os("LAB3_BLESS").is_some();
    let folder = root().join("fixtures/wire");
    let mut wrong = Vec::new();
    for (name, frame) in &golden().frames {
        let file = folder.join(format!("{name}.hex"));
        if bless {
            std::fs::write(&file, text(frame)).expect("written");
        } else if std::fs::read_to_string(&file).ok().as_deref() != Some(text(frame).as_str()) {
            wrong.push(*name);
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong:?} changed: raise the protocol's version, then LAB3_BLESS=1 writes them anew"
    );
}

#[test]
fn no_damaged_frame_does_more_than_fail() {
    fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(body: &[u8]) {
        if let Ok(value) = cbor::from_slice::<T>(body) {
            let again = cbor::to_vec(&value).expect("what was read can be written");
            assert_eq!(cbor::from_slice::<T>(&again).as_ref(), Ok(&value));
        }
    }
    for frame in golden().frames.values() {
        let body = &frame[4..];
        for at in 0..body.len() {
            for flip in [0x01, 0x20, 0x1f, 0x80, 0xe0, 0xff] {
                let mut damaged = body.to_vec();
                damaged[at] ^= flip;
                read::<PeerMessage>(&damaged);
                read::<Request>(&damaged);
                read::<Answer>(&damaged);
                read::<Reception>(&damaged);
            }
        }
    }
}

#[test]
fn no_frozen_frame_is_without_a_test() {
    let frozen: BTreeSet<String> = std::fs::read_dir(root().join("fixtures/wire"))
        .expect("the folder of frames")
        .map(|file| file.expect("a file").file_name().into_string().expect("a plain name"))
        .collect();
    let tested = golden().frames.keys().map(|name| format!("{name}.hex")).collect();
    assert_eq!(frozen, tested);
}

#[test]
fn the_examples_of_the_document_are_the_frozen_bytes() {
    let document = std::fs::read_to_string(root().join("docs/protocol.md")).expect("readable");
    let golden = golden();
    let mut shown = 0;
    for example in document.split("```hex ").skip(1) {
        let (name, rest) = example.split_once('\n').expect("a name");
        let (hex, _) = rest.split_once("```").expect("an end");
        let frame = golden.frames.get(name).unwrap_or_else(|| panic!("no frame `{name}`"));
        assert_eq!(hex, text(frame), "`{name}`");
        shown += 1;
    }
    assert!(shown >= 4, "{shown} examples");
}
