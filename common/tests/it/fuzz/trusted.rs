//! The trusted file: whatever it holds, nobody has more than a line of it grants, and a line that
//! nobody understands grants nothing to anybody.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;

use common::identity::Identity;
use common::identity::book::TRUSTED;
use common::identity::id::Id;
use common::identity::trusted::{Grant, Standing, check_name, parse, with, without};
use tempfile::TempDir;

use crate::fuzzing::{Target, directory};

/// The text, in which `@` and a digit stand for an id: no mutant would ever hit on one.
pub(crate) const TARGET: Target = Target { name: "trusted", run, seeds, mutants: 2000 };

const GIVEN: [Standing; 3] = [Standing::Reader, Standing::Client, Standing::Peer];

thread_local! {
    static OURS: (TempDir, Identity) = {
        let dir = directory();
        let identity = Identity::open(Some(&dir.path().join("own"))).expect("an identity");
        (dir, identity)
    };
}

fn id(number: u8) -> Id {
    Id::of(&[number; 32])
}

fn run(bytes: &[u8]) -> bool {
    let mut file = Vec::new();
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'@', Some(digit @ b'0'..=b'9')) => {
                rest = &after[1..];
                file.extend(id(digit - b'0').to_string().into_bytes());
            }
            _ => file.push(*byte),
        }
    }
    let grants = std::str::from_utf8(&file).ok().and_then(understood);
    OURS.with(|(_, identity)| as_a_file(identity, &file, grants.as_deref()));
    grants.is_some_and(|grants| !grants.is_empty())
}

/// The grants of a text, each of which stands in it; `None` when a line means nothing.
fn understood(text: &str) -> Option<Vec<Grant>> {
    let grants = match parse(text) {
        Ok(grants) => grants,
        Err(error) => {
            assert!((1..=text.lines().count()).contains(&error.line), "{error}");
            let line = error.to_string();
            assert!(!line.contains(char::is_control), "a terminal acts on {line:?}");
            return None;
        }
    };
    let meaning = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines: Vec<&str> = meaning.filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), grants.len(), "each line is a grant, and no grant is without one");
    for (line, grant) in lines.iter().zip(&grants) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(Id::parse(words[0]), Ok(grant.id));
        assert_eq!(words[1], grant.standing.to_string());
        assert_eq!(words.get(2).copied(), grant.name.as_deref());
        assert!(GIVEN.contains(&grant.standing) && words.len() < 4, "{line}");
        assert!(grant.name.as_deref().is_none_or(|name| check_name(name).is_ok()), "{line}");
        let twins = grants.iter().filter(|other| other.id == grant.id).count();
        assert_eq!(twins, 1, "{line}");
    }
    changed(text, &grants);
    Some(grants)
}

/// What is written anew is what was read, and a change changes nobody else.
fn changed(text: &str, grants: &[Grant]) {
    let printed = grants.iter().fold(String::new(), |text, grant| with(&text, grant));
    assert_eq!(parse(&printed).as_deref(), Ok(grants), "{printed}");
    for number in 0..10 {
        let id = id(number);
        let others = || grants.iter().filter(|grant| grant.id != id).cloned();
        let left = parse(&without(text, &id)).expect("a line less is as readable");
        assert!(left.into_iter().eq(others()), "{text}");
        let grant = Grant { id, standing: GIVEN[usize::from(number % 3)], name: None };
        let more = parse(&with(text, &grant)).expect("a line more is as readable");
        assert!(more.iter().filter(|other| other.id != id).cloned().eq(others()), "{text}");
        assert_eq!(more.iter().filter(|other| **other == grant).count(), 1, "{text}");
    }
}

/// What the file grants is what its text does; one that cannot be read grants nothing.
fn as_a_file(identity: &Identity, file: &[u8], grants: Option<&[Grant]>) {
    let path = identity.directory().join(TRUSTED);
    let _ = fs::remove_file(&path);
    let mut options = fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(&path);
    written.and_then(|mut to| std::io::Write::write_all(&mut to, file)).expect("written");
    let read = identity.grants();
    assert_eq!(read.as_ref().ok().map(|read| read.as_slice()), grants, "{read:?}");
    for number in 0..10 {
        let id = id(number);
        let granted = grants.and_then(|grants| grants.iter().find(|grant| grant.id == id));
        for least in GIVEN {
            let may = granted.is_some_and(|grant| grant.standing >= least);
            assert_eq!(identity.admit(&id, least).is_ok(), may, "{id} as {least}");
        }
        assert!(identity.admit(&id, Standing::Own).is_err(), "nobody else is us");
    }
    assert!(identity.admit(identity.id(), Standing::Own).is_ok(), "we are always ourselves");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "@1 peer ann@mill\n@2 reader\n",
        "# mine\n\n  @1\tclient bob # since spring\r\n@2 peer#\n@3 reader",
        "@0 reader a\n@1 client b\n@2 peer c\n@3 peer d\n@4 client e\n@5 reader f\n",
        "@9 peer n\u{e4}her\n@8\u{a0}client\u{3000}x\n#@7 peer\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
