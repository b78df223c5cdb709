//! Answers of server A: whatever they say, they can be printed, no terminal acts on them, and as
//! JSON they are one line.

use common::wire::cbor;
use common::wire::client::{Answer, Waited};
use lab3_client::{history, json, kept_words, speed, status, verified, words};

use super::edited::edited;
use super::messages;
use crate::fuzzing::{Target, byte};

/// Edits, then the CBOR of an answer.
pub(crate) const TARGET: Target = Target { name: "answers", run, seeds, mutants: 3000 };

fn run(bytes: &[u8]) -> bool {
    let made;
    let mut bytes = bytes;
    if byte(&mut bytes) & 0x80 != 0 {
        let Some(edited) = edited(&mut bytes) else { return false };
        made = edited;
        bytes = &made;
    }
    let Ok(answer) = cbor::from_slice::<Answer>(bytes) else { return false };
    for text in texts(&answer) {
        let acts = |c: &char| {
            (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{feff}')
        };
        let found = text.chars().find(acts);
        assert_eq!(found, None, "a terminal acts on it: {text:?}");
    }
    for line in lines(&answer) {
        assert!(!line.trim_end_matches('\n').contains('\n'), "one line: {line:?}");
    }
    true
}

fn texts(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Listing(part) => {
            let mut texts: Vec<String> = words::away(&part.b).into_iter().collect();
            for (index, row) in (0..).zip(&part.rows) {
                let _ = words::ink(row);
                texts.extend(words::listing_row(index, row));
            }
            texts
        }
        Answer::Locked(lock) => vec![words::locked(lock)],
        Answer::Unlocked(receipt) => vec![words::receipt(receipt)],
        Answer::Locks(rows) => vec![words::locks(rows)],
        Answer::Held(rows) => vec![words::held(rows)],
        Answer::Status(status) => {
            let mut texts = vec![status::system(status), speed::speeds(&status.speed)];
            texts.extend(words::away(&status.b));
            texts
        }
        Answer::PathStatus(path) => {
            let mut texts = vec![status::path(path), words::waiting(&path.waiting)];
            texts.extend(path.last_edit.iter().map(|trace| speed::trace(trace)));
            texts
        }
        Answer::Waited(waited) => {
            let mut texts = Vec::new();
            if let Waited::Waiting { waiting, .. } = waited {
                texts.push(words::waiting(waiting));
            }
            if let Some((what, hint)) = words::not_yet(waited) {
                texts.extend([what, hint]);
            }
            texts
        }
        Answer::Verified(found) => vec![verified::verified(found)],
        Answer::Log(part) => {
            history::remarks(part).into_iter().chain([history::log(part)]).collect()
        }
        Answer::Restored(restored) => vec![kept_words::restored(restored)],
        Answer::Conflicts(part) => vec![kept_words::conflicts(&part.rows)],
        Answer::Resolved(resolved) => vec![kept_words::resolved(resolved)],
        Answer::Broken(rows) => vec![words::broken(rows)],
        Answer::Done(text) => vec![words::safe(text)],
        Answer::Refused(_) | Answer::Trash(_) => Vec::new(),
    }
}

fn lines(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Listing(part) => {
            let entry = |(index, row)| json::listing_entry(index, row);
            let mut lines: Vec<String> = (0..).zip(&part.rows).map(entry).collect();
            lines.push(json::listing_head(part.generation, &part.b));
            lines
        }
        Answer::Locked(lock) => vec![json::locked(lock)],
        Answer::Unlocked(receipt) => vec![json::receipt(receipt)],
        Answer::Locks(rows) => vec![json::locks(rows)],
        Answer::Held(rows) => vec![json::held(rows)],
        Answer::Status(status) => vec![json::status(status)],
        Answer::PathStatus(path) => vec![json::path_status(path)],
        Answer::Waited(waited) => vec![json::waited(waited)],
        Answer::Verified(found) => vec![json::verified(found)],
        Answer::Log(part) => vec![json::log(part)],
        _ => Vec::new(),
    }
}

/// The frozen answers.
fn seeds() -> Vec<Vec<u8>> {
    let is_answer = |seed: &Vec<u8>| seed.first().is_some_and(|sort| sort & 0x7f == 2);
    messages::seeds().into_iter().filter(is_answer).collect()
}
