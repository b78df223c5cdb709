//! Whether what many clients heard about one lock could have happened one after the other.
//!
//! An operation takes effect at one instant between its begin and its end. The checker looks for
//! instants that explain every answer: it takes, again and again, an operation that began before
//! every other one that is left ended. One that changes nothing is taken as soon as it fits, so
//! only those that change something are tried one after the other.

use std::collections::BTreeSet;

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Lock,
    Unlock,
}

/// One operation, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) who: usize,
    pub(crate) op: Op,
    /// Whether it was done; refused otherwise.
    pub(crate) done: bool,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl Event {
    /// The holder afterwards; `None` when the answer does not fit.
    fn after(&self, holder: Option<usize>) -> Option<Option<usize>> {
        match (self.op, self.done, holder) {
            (Op::Lock, true, None) => Some(Some(self.who)),
            (Op::Lock, true, Some(who)) if who == self.who => Some(holder),
            (Op::Lock, false, Some(who)) if who != self.who => Some(holder),
            (Op::Unlock, true, Some(who)) if who == self.who => Some(None),
            (Op::Unlock, false, holder) if holder != Some(self.who) => Some(holder),
            _ => None,
        }
    }
}

/// Whether some order of instants explains the history.
pub(crate) fn is_linearizable(history: &[Event]) -> bool {
    let mut tried = BTreeSet::new();
    let left: BTreeSet<usize> = (0..history.len()).collect();
    explains(history, left, None, &mut tried)
}

fn explains(
    history: &[Event],
    mut left: BTreeSet<usize>,
    holder: Option<usize>,
    tried: &mut BTreeSet<(BTreeSet<usize>, Option<usize>)>,
) -> bool {
    // What changes nothing and fits now need not wait.
    loop {
        let first = left.iter().map(|&at| history[at].end).min().unwrap_or(u64::MAX);
        let fits =
            |at: &usize| history[*at].begin <= first && history[*at].after(holder) == Some(holder);
        let Some(at) = left.iter().copied().find(|at| fits(at)) else { break };
        left.remove(&at);
    }
    if left.is_empty() {
        return true;
    }
    if !tried.insert((left.clone(), holder)) {
        return false;
    }
    let first = left.iter().map(|&at| history[at].end).min().unwrap_or(u64::MAX);
    left.iter().filter(|&&at| history[at].begin <= first).any(|&at| {
        history[at].after(holder).is_some_and(|holder| {
            let mut rest = left.clone();
            rest.remove(&at);
            explains(history, rest, holder, tried)
        })
    })
}

/// The checker finds what cannot be, and only that.
#[test]
fn the_checker_tells_what_can_be_from_what_cannot() {
    let event = |who, op, done, begin, end| Event { who, op, done, begin, end };
    use Op::{Lock, Unlock};
    let can = [
        vec![event(1, Lock, true, 0, 10), event(2, Lock, false, 5, 6)],
        vec![
            event(1, Lock, true, 0, 10),
            event(2, Lock, true, 1, 30),
            event(1, Unlock, true, 12, 20),
        ],
        vec![event(1, Lock, true, 0, 1), event(1, Lock, true, 2, 3)],
    ];
    let cannot = [
        vec![event(1, Lock, true, 0, 1), event(2, Lock, true, 2, 3)],
        vec![event(1, Lock, false, 0, 1)],
        vec![event(1, Lock, true, 5, 6), event(2, Lock, false, 0, 4)],
        vec![event(1, Lock, true, 0, 1), event(1, Unlock, true, 2, 3), event(2, Lock, false, 4, 5)],
        vec![event(1, Lock, true, 0, 9), event(2, Lock, true, 0, 9)],
    ];
    for history in can {
        assert!(is_linearizable(&history), "{history:?}");
    }
    for history in cannot {
        assert!(!is_linearizable(&history), "{history:?}");
    }
}
