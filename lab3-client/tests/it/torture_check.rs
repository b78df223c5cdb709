//! The verdict: what was written, according to the logs of the writers, against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::side::Side;

use crate::system::System;
use crate::torture_token::{Found, TOKEN_BYTES, holds, line, read, slot, whole};
use crate::trees::{self, Node, Nodes};

const SHOWN_MAX: usize = 20;

/// What the writers and pollers wrote down.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Everything that anybody began to write: in which way, and where.
    tried: BTreeMap<String, String>,
    acknowledged: BTreeSet<String>,
    superseded: BTreeSet<String>,
    polls: u64,
    complaints: Vec<String>,
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tree,
    Copy,
    Pending,
    Trash,
}

/// Everything that was found, and what is wrong with it.
#[derive(Default)]
struct Evidence {
    is_calm: bool,
    at: BTreeMap<String, Place>,
    copies: BTreeSet<String>,
    /// Lines that a user added to what another's half done save showed.
    joined: u64,
    wrong: Vec<String>,
}

/// How it went, in numbers.
pub(crate) struct Verdict {
    pub(crate) line: String,
    /// Conflict copies of what both sides' users wrote.
    pub(crate) copies_shared: usize,
    /// Conflict copies of what only one side's users wrote.
    pub(crate) copies_own: Vec<String>,
    pub(crate) complaints: Vec<String>,
}

impl Ledger {
    /// Reads all logs in a directory.
    pub(crate) fn read(logs: &Path) -> Ledger {
        let mut ledger = Ledger::default();
        for item in fs::read_dir(logs).expect("the logs") {
            let path = item.expect("an entry").path();
            for text in fs::read_to_string(&path).expect("a log").lines() {
                let (kind, rest) = text.split_once(' ').expect("two words");
                let word = rest.split(' ').next().unwrap_or_default().to_owned();
                match kind {
                    "try" => {
                        let about = rest.split(" @").next().unwrap_or_default();
                        ledger.tried.insert(word, about.to_owned());
                    }
                    "ack" => drop(ledger.acknowledged.insert(word)),
                    "sup" => drop(ledger.superseded.insert(word)),
                    "polls" => ledger.polls += word.parse::<u64>().expect("a number"),
                    "bad" => {
                        let name = path.file_name().expect("a name").to_string_lossy();
                        ledger.complaints.push(format!("{name}: {rest}"));
                    }
                    _ => {}
                }
            }
        }
        ledger
    }

    /// Whether somebody wrote what begins like this.
    fn begins(&self, piece: &str) -> bool {
        let Some(token) = piece.get(..TOKEN_BYTES) else {
            let next = self.tried.range(piece.to_owned()..).next();
            return next.is_some_and(|(token, _)| token.starts_with(piece));
        };
        let head = format!("{token} whole ");
        let is_head = head.starts_with(piece) || piece.starts_with(&head);
        let is = |whole: &str| whole.starts_with(piece);
        self.tried.contains_key(token) && (is_head || is(&line(token)) || is(&slot(token)))
    }

    /// Whether this is the beginning of a line that an editor has ended: some do that to a last
    /// line before they add one, and to the only line of a file that was just emptied.
    fn ended(&self, piece: &str) -> bool {
        piece.strip_suffix('\n').is_some_and(|begun| begun.is_empty() || self.begins(begun))
    }

    /// The token of a line of somebody, after the beginning of another.
    fn joined<'p>(&self, piece: &'p str) -> Option<&'p str> {
        (1..piece.len()).find_map(|at| {
            let (first, second) = (piece.get(..at)?, piece.get(at..)?);
            let token = second.get(..TOKEN_BYTES)?;
            let is_line = second == line(token) || !second.ends_with('\n') && self.begins(second);
            (self.tried.contains_key(token) && is_line && self.begins(first)).then_some(token)
        })
    }
}

impl Evidence {
    fn judge(&mut self, ledger: &Ledger, place: Place, path: &str, content: &[u8]) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.contains(".sw") || name == "4913" {
            // The editor's own.
            return;
        }
        let found = read(content);
        for token in found.tokens() {
            if !ledger.tried.contains_key(token) {
                self.wrong.push(format!("{place:?} {path}: nobody wrote {token}"));
            }
            let best = self.at.entry(token.to_owned()).or_insert(place);
            *best = place.min(*best);
        }
        let may_break = self.may_break(path, place);
        let why = match &found {
            Found::Nonsense(why) => Some(why.clone()),
            Found::Beginning(token) if !may_break => Some(format!("a part of {token}")),
            Found::Empty if !may_break && place == Place::Tree => Some("empty".to_owned()),
            Found::Broken(_, pieces) => {
                let (last, inner) = pieces.split_last().expect("there are pieces");
                let is_cut = !last.ends_with('\n') && ledger.begins(last);
                let inner = if is_cut { inner } else { pieces };
                let joined: Vec<&str> = inner.iter().filter_map(|p| ledger.joined(p)).collect();
                let ended = inner.iter().filter(|p| ledger.ended(p)).count();
                self.joined += joined.len() as u64;
                let is_right = may_break && joined.len() + ended == inner.len();
                for token in joined {
                    self.at.entry(token.to_owned()).or_insert(place);
                }
                (!is_right).then(|| format!("torn lines: {pieces:.300?}"))
            }
            _ => None,
        };
        self.wrong.extend(why.map(|why| format!("{place:?} {path}: {why}")));
    }

    /// Whether a half done save may be found here: where users save in place, it was to be seen for
    /// a moment. In a tree it may have stayed when the other side's user went on with it; and when
    /// a server was killed, what was removed just before may be back.
    fn may_break(&self, path: &str, place: Place) -> bool {
        let is_own = path.starts_with("from-");
        let is_polled = path.contains("/whole-") || path.contains("/swap-");
        if path.contains("/log") || is_own && is_polled {
            return false;
        }
        let is_text = path.starts_with("both/") && path.contains("text-");
        place != Place::Tree || is_text || !self.is_calm
    }

    fn tree(&mut self, ledger: &Ledger, nodes: &Nodes) {
        for (name, node) in nodes {
            let name = String::from_utf8_lossy(name).into_owned();
            let is_copy = name.contains(".conflict-");
            if is_copy {
                self.copies.insert(name.clone());
            }
            if let Node::File { content, .. } = node {
                let place = if is_copy { Place::Copy } else { Place::Tree };
                self.judge(ledger, place, &name, content);
            }
        }
    }
}

/// Compares what both sides hold now, equal already, with what was written.
pub(crate) fn verdict(system: &System, nodes: &Nodes, logs: &Path, is_calm: bool) -> Verdict {
    let ledger = Ledger::read(logs);
    let mut evidence = Evidence { is_calm, ..Evidence::default() };
    evidence.tree(&ledger, nodes);
    for side in Side::BOTH {
        let root = system.root(side);
        for (path, _, content) in trees::trash(root) {
            evidence.judge(&ledger, Place::Trash, &path, content.as_bytes());
        }
        let staged = fs::read_dir(root.join(".lab3/stage")).expect("a directory").count();
        if staged > 0 {
            evidence.wrong.push(format!("{staged} things are left in the stage of {side}"));
        }
    }
    for item in fs::read_dir(system.a.join(".lab3/pending")).into_iter().flatten() {
        let content = fs::read(item.expect("an entry").path()).unwrap_or_default();
        for token in ledger.tried.keys().filter(|t| holds(&content, t)) {
            evidence.at.entry(token.clone()).or_insert(Place::Pending);
        }
    }
    conclude(&ledger, evidence)
}

fn conclude(ledger: &Ledger, evidence: Evidence) -> Verdict {
    let Evidence { at, copies, joined, wrong, .. } = evidence;
    let mut complaints = ledger.complaints.clone();
    complaints.extend(wrong.into_iter().take(SHOWN_MAX));
    let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
    let (mut superseded, mut lost) = (0, 0);
    for token in &ledger.acknowledged {
        if ledger.superseded.contains(token) {
            superseded += 1;
        } else if let Some(place) = at.get(token) {
            *counts.entry(*place).or_default() += 1;
        } else {
            lost += 1;
            if lost <= SHOWN_MAX {
                complaints.push(format!("lost: {}", ledger.tried[token]));
            }
        }
    }
    let count = |place| counts.get(&place).copied().unwrap_or(0);
    let (shared, own): (Vec<_>, Vec<_>) =
        copies.into_iter().partition(|name| name.starts_with("both/"));
    let line = format!(
        "{} writes: {} in trees, {} in conflict copies, {} pending, {} in trash, {superseded} \
         superseded, {lost} lost; {} conflict copies, {joined} lines joined, {} polls",
        ledger.acknowledged.len(),
        count(Place::Tree),
        count(Place::Copy),
        count(Place::Pending),
        count(Place::Trash),
        shared.len() + own.len(),
        ledger.polls,
    );
    Verdict { line, copies_shared: shared.len(), copies_own: own, complaints }
}

/// A loss, a torn line and an invented one are all found; what is as it should be is not.
#[test]
fn the_verdict_finds_what_is_lost_torn_or_invented() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, b, c) = ("A01-000001", "A01-000002", "B01-000003");
    let log = format!("try {a} log f\nack {a}\ntry {b} save g\nack {b}\ntry {c} x h\nsup {c}\n");
    fs::write(dir.path().join("log"), log).expect("a log");
    let ledger = Ledger::read(dir.path());
    let judged = |path: &str, content: &str| {
        let mut evidence = Evidence { is_calm: true, ..Evidence::default() };
        evidence.judge(&ledger, Place::Tree, path, content.as_bytes());
        conclude(&ledger, evidence).complaints
    };
    assert_eq!(judged("f", &[line(a), line(b)].concat()), Vec::<String>::new());
    assert_eq!(judged("f", &line(a)), ["lost: A01-000002 save g"]);
    assert!(judged("f", &[line(a), line(b), line("A09-000009")].concat()).len() == 1);
    assert!(judged("from-A/log-0", &[line(a), line(b)].concat()[..150]).len() == 2);
    assert!(judged("f", &[whole(a, 9), line(b)].concat())[0].contains("a mixture"));
    let torn = [&line(a)[..30], &line(b)].concat();
    assert_eq!(judged("both/text-1", &torn), ["lost: A01-000001 log f"]);
    assert!(judged("from-A/text-1", &torn)[0].contains("torn"));
    let ended = [&line(a)[..30], "\n", &line(b)].concat();
    assert_eq!(judged("both/text-1", &ended), ["lost: A01-000001 log f"]);
    assert!(judged("from-A/text-1", &ended)[0].contains("torn"));
    let emptied = ["\n", &line(a), &line(b)].concat();
    assert_eq!(judged("both/text-1", &emptied), Vec::<String>::new());
    assert!(judged("from-A/text-1", &emptied)[0].contains("torn"));
    let other = [&line(a)[..30], "y\n", &line(b)].concat();
    assert!(judged("both/text-1", &other)[0].contains("torn"));
}
