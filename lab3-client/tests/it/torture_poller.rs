//! The poller: it reads, in a tight loop, names that only the other side's users write. Whatever
//! it finds there was brought by a server, so a name that is missing for an instant, a short file
//! or a mixture is the server's doing, unless the writer's own way of saving shows it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::torture_child::Task;
use crate::torture_token::{Found, read};

/// The names that are polled, below the other side's directory: they are there from the start, and
/// their users replace, rewrite or continue them, but never remove them.
pub(crate) const POLLED: [&str; 9] = [
    "whole-0",
    "whole-1",
    "whole-2",
    "swap-0",
    "swap-1",
    "inplace-0",
    "inplace-1",
    "log-0",
    "log-1",
];
const COMPLAINTS_MAX: usize = 20;

/// Polls until told to end; writes what it found to its log.
pub(crate) fn poll(task: &Task, told: &AtomicBool) {
    let mut log = OpenOptions::new().create(true).append(true).open(&task.log).expect("a log");
    let (mut polls, mut complaints, mut last) = (0_u64, 0, BTreeMap::new());
    let dir = task.root.join(format!("from-{}", task.side.other()));
    let begin = Instant::now();
    while !told.load(Ordering::SeqCst) {
        for name in POLLED {
            polls += 1;
            if let Some(wrong) = look(&dir.join(name), name, &mut last)
                && complaints < COMPLAINTS_MAX
            {
                complaints += 1;
                let after = begin.elapsed().as_millis();
                writeln!(log, "bad {name} after {after} ms: {wrong}").expect("logged");
            }
        }
        // The machine has few processors, and the servers need one.
        std::thread::sleep(Duration::from_micros(task.steps));
    }
    writeln!(log, "polls {polls}").expect("logged");
}

/// What is wrong with what is there, if anything.
fn look(
    path: &std::path::Path,
    name: &str,
    last: &mut BTreeMap<String, (String, usize)>,
) -> Option<String> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Some("missing".to_owned()),
        Err(error) => return Some(error.to_string()),
    };
    let found = read(&content);
    let newest = found.tokens().last().copied().unwrap_or_default().to_owned();
    let before = last.get(name).cloned().unwrap_or_default();
    last.insert(name.to_owned(), (newest.clone(), content.len()));
    let is_right = match name.split('-').next() {
        Some("whole" | "swap") => matches!(found, Found::Whole(_)),
        Some("log") => matches!(found, Found::Lines(_)),
        // Whoever writes in place shows that; but never two versions at once.
        _ => match &found {
            Found::Broken(tokens, pieces) => tokens.is_empty() && pieces.len() == 1,
            found => !matches!(found, Found::Nonsense(_) | Found::Lines(_)),
        },
    };
    if !is_right {
        return Some(format!("{found:.300?}"));
    }
    // The newest version wins, so none comes back, and no log grows shorter.
    let is_back =
        name.starts_with("whole") && newest[..3] == *before.0.get(..3)? && newest < before.0;
    let is_shorter = name.starts_with("log") && content.len() < before.1;
    (is_back || is_shorter).then(|| format!("back from {before:?} to {newest}, {}", content.len()))
}
