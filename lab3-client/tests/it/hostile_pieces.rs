//! Content that lies, at a real server B: a hostile server A orders a file and gives, when asked
//! for it, whatever it likes. Nothing of that is ever published, and the next honest file arrives.

use std::fs;

use common::delta::recipe::chunks_of;
use common::digest::Mark;
use common::entry::Entry;
use common::limits::{CHUNK_BYTES_MIN, PIECE_BYTES_MAX};
use common::side::Side;
use common::wire::message::{
    Ask, AskId, Chunk, Content, Give, Given, Order, OrderId, PeerMessage, Report, Role, Want,
};
use serde_bytes::ByteBuf;

use crate::hostile_kit::{commit, file, is_done, is_well, path, peak};
use crate::raw::Raw;
use crate::system::System;
use crate::trees::put;

const SIZE: usize = 3 * 1024 * 1024 + 77;

fn content(seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(SIZE).collect()
}

/// What is given for a question: any number of answers.
type Lie = fn(&Ask, &[u8]) -> Vec<Given>;

fn piece(bytes: impl Into<Vec<u8>>) -> Vec<Given> {
    vec![Given::Piece(ByteBuf::from(bytes.into()))]
}

fn truth(ask: &Ask, whole: &[u8]) -> Vec<Given> {
    match ask.want {
        Want::Piece { offset, length } => {
            piece(&whole[offset as usize..offset as usize + length as usize])
        }
        Want::Recipe => {
            let chunks = chunks_of(whole).expect("in memory").0;
            vec![Given::Recipe { chunks, last: true }]
        }
    }
}

/// Lies about pieces.
const PIECES: [(&str, Lie); 9] = [
    ("other bytes", |ask, whole| match ask.want {
        Want::Piece { length, .. } => piece(vec![b'x'; length as usize]),
        Want::Recipe => truth(ask, whole),
    }),
    ("one bit", |ask, whole| match &truth(ask, whole)[..] {
        [Given::Piece(bytes)] => {
            let mut bytes = bytes.to_vec();
            bytes[0] ^= 1;
            piece(bytes)
        }
        other => other.to_vec(),
    }),
    ("too short", |ask, whole| match &truth(ask, whole)[..] {
        [Given::Piece(bytes)] => piece(&bytes[1..]),
        other => other.to_vec(),
    }),
    ("too long", |ask, whole| match &truth(ask, whole)[..] {
        [Given::Piece(bytes)] => piece([bytes.as_ref(), b"!"].concat()),
        other => other.to_vec(),
    }),
    ("nothing at all", |_, _| piece([])),
    ("as much as fits a frame", |_, _| piece(vec![7; 2_000_000])),
    ("a recipe for a piece", |_, _| vec![Given::Recipe { chunks: Vec::new(), last: true }]),
    ("packed, and unpacked without end", |_, _| {
        // A match that repeats one byte for as long as the block says.
        let mut block = vec![0x1f, b'x', 1, 0];
        block.extend([0xff; 100_000]);
        block.push(0);
        vec![Given::Packed { bytes: ByteBuf::from(block), length: u32::MAX }]
    }),
    ("packed, and shorter than it says", |_, _| {
        let bytes = ByteBuf::from(vec![0x10, b'x']);
        vec![Given::Packed { bytes, length: PIECE_BYTES_MAX as u32 }]
    }),
];

fn recipe(chunks: Vec<Chunk>, last: bool) -> Given {
    Given::Recipe { chunks, last }
}

fn chunk(length: u32, of: &[u8]) -> Chunk {
    Chunk { length, mark: Some(Mark::of(of)) }
}

/// Lies about of which chunks a content is made.
const RECIPES: [(&str, Lie); 9] = [
    ("one hole", |_, _| vec![recipe(vec![Chunk { length: SIZE as u32, mark: None }], true)]),
    ("none", |_, _| vec![recipe(Vec::new(), true)]),
    ("nothing, again and again", |_, _| vec![recipe(Vec::new(), false); 50]),
    ("chunks of no bytes", |_, _| vec![recipe(vec![chunk(0, b""); 10_000], false); 5]),
    ("chunks that are too long", |_, _| vec![recipe(vec![chunk(u32::MAX, b"x"); 100], true)]),
    ("far too many", |_, _| {
        let many = vec![chunk(CHUNK_BYTES_MIN as u32, b"x"); 10_000];
        (0..20).map(|n| recipe(many.clone(), n == 19)).collect()
    }),
    ("a piece", |_, _| piece(vec![1; 1000])),
    ("gone", |_, _| vec![Given::Gone]),
    ("in the wrong order", |ask, whole| match &truth(ask, whole)[..] {
        [Given::Recipe { chunks, .. }] => {
            vec![recipe(chunks.iter().rev().copied().collect(), true)]
        }
        other => other.to_vec(),
    }),
];

/// Answers every question with a lie until the outcome comes; whether it was `Done`.
fn play(raw: &mut Raw, id: u64, whole: &[u8], lie: impl Fn(&Ask, &[u8]) -> Vec<Given>) -> bool {
    loop {
        match raw.hear::<PeerMessage>().expect("B goes on") {
            PeerMessage::Ask(ask) => {
                // Answers that nobody waits for come first.
                for stray in [AskId(0), AskId(ask.id.0 + 1000), AskId(u64::MAX)] {
                    raw.say(&PeerMessage::Give(Give { id: stray, given: Given::Gone }));
                }
                for given in lie(&ask, whole) {
                    raw.say(&PeerMessage::Give(Give { id: ask.id, given }));
                }
            }
            PeerMessage::Ping => drop(raw.say(&PeerMessage::Pong)),
            PeerMessage::Report(Report::Outcome { id: OrderId(it), outcome, .. }) if it == id => {
                return is_done(&Some(outcome));
            }
            _ => {}
        }
    }
}

/// No lie about a content is ever published, wherever the bytes come from, and it costs neither the
/// server nor much memory (H17, H18).
#[test]
fn no_lie_about_a_content_is_published() {
    let mut system = System::new();
    let old = content(1);
    put(&system.b, "old", &old);
    system.start_b();
    let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
    let rows = raw.inventory();
    let before: Option<Entry> = Some(rows[0].1.clone());
    let peak_before = peak(&system, Side::B);
    let new = [&old[..SIZE / 2], &content(2)[SIZE / 2..]].concat();
    let mut id = 0;
    let mut order = |raw: &mut Raw, name: &str, before: Option<Entry>| {
        id += 1;
        let after = Some(file(&new, 0o644));
        raw.say(&commit(id, name, (before, after), Content::Pull(path("theirs"))));
        id
    };
    for (what, lie) in PIECES {
        let id = order(&mut raw, "new", None);
        assert!(!play(&mut raw, id, &new, lie), "pieces: {what}");
        assert!(!system.b.join("new").exists(), "pieces: {what}");
    }
    for (what, lie) in RECIPES {
        let id = order(&mut raw, "old", before.clone());
        let about_recipes = |ask: &Ask, whole: &[u8]| match ask.want {
            Want::Recipe => lie(ask, whole),
            Want::Piece { .. } => truth(ask, whole),
        };
        let done = play(&mut raw, id, &new, about_recipes);
        assert!(!done, "recipe: {what}");
        assert_eq!(fs::read(system.b.join("old")).expect("there"), old, "recipe: {what}");
    }
    // A size that no disk has, and one that is not the content's.
    for size in [SIZE as u64 + 1, SIZE as u64 - 1, u64::MAX, 1 << 62] {
        id += 1;
        let Entry::File(mut after) = file(&new, 0o644) else { panic!("a file") };
        std::sync::Arc::make_mut(&mut after).size = size;
        let after = Some(Entry::File(after));
        raw.say(&commit(id, "sized", (None, after), Content::Pull(path("theirs"))));
        let give = |ask: &Ask, whole: &[u8]| match ask.want {
            Want::Piece { offset, length } => {
                let from = (offset as usize).min(whole.len());
                let to = from.saturating_add(length as usize).min(whole.len());
                piece(&whole[from..to])
            }
            Want::Recipe => truth(ask, whole),
        };
        assert!(!play(&mut raw, id, &new, give), "{size} bytes");
        assert!(!system.b.join("sized").exists(), "{size} bytes");
    }
    id += 1;
    raw.say(&commit(id, "old", (before, Some(file(&new, 0o644))), Content::Pull(path("theirs"))));
    assert!(play(&mut raw, id, &new, truth), "the truth is published");
    assert_eq!(fs::read(system.b.join("old")).expect("there"), new);
    let staged: Vec<_> = fs::read_dir(system.b.join(".lab3/stage")).expect("it is there").collect();
    assert!(staged.is_empty(), "{staged:?}");
    let peak_now = peak(&system, Side::B);
    assert!(peak_now < peak_before + 200 * 1024, "from {peak_before} to {peak_now} kB");
    is_well(&mut system, Side::B);
}

/// A question for content of what is not in the tree, or another version of it, is answered with
/// `Gone`, and a piece is never longer than a piece may be.
#[test]
fn only_what_is_known_is_given_and_never_more_than_a_piece() {
    let mut system = System::new();
    put(&system.b, "f", content(1));
    system.start_b();
    let mut raw = Raw::welcome(&system, system.port_b, Role::Coordinator);
    let rows = raw.inventory();
    let Entry::File(known) = &rows[0].1 else { panic!("a file") };
    let mut ask = |name: &str, digest, want| {
        raw.say(&PeerMessage::Ask(Ask { id: AskId(1), path: path(name), digest, want }));
        loop {
            if let PeerMessage::Give(Give { given, .. }) = raw.hear().expect("an answer") {
                return given;
            }
        }
    };
    let wide = Want::Piece { offset: 0, length: u32::MAX };
    let wrong = common::digest::Digest::of(b"wrong");
    assert_eq!(ask("f", wrong, wide), Given::Gone);
    assert_eq!(ask("nothing", known.digest, wide), Given::Gone);
    let given = |given| match given {
        Given::Piece(bytes) => bytes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(given(ask("f", known.digest, wide)), PIECE_BYTES_MAX);
    let beyond = Want::Piece { offset: u64::MAX, length: 5 };
    assert_eq!(given(ask("f", known.digest, beyond)), 0);
    raw.say(&PeerMessage::Order(Order::Approve));
    is_well(&mut system, Side::B);
}
