//! The traces of the last edits, one for each path, so many and no more. Pure.

use std::collections::BTreeMap;

use common::path::RelPath;
use common::time::Micros;
use common::wire::client::timed::Trace;

/// So many paths are remembered.
pub const PATHS_MAX: usize = 4096;

/// Names a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(u64);

/// The last edits of the paths that were edited last.
#[derive(Debug, Default)]
pub struct Traces {
    at: BTreeMap<RelPath, (TraceId, Trace)>,
    /// The oldest first.
    order: BTreeMap<TraceId, RelPath>,
    last: TraceId,
}

impl Traces {
    /// Remembers the last edit of a path, and forgets what is oldest when there are too many.
    pub fn put(&mut self, path: RelPath, trace: Trace) -> TraceId {
        self.last.0 += 1;
        let id = self.last;
        if let Some((old, _)) = self.at.insert(path.clone(), (id, trace)) {
            self.order.remove(&old);
        }
        self.order.insert(id, path);
        if self.order.len() > PATHS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.at.remove(&oldest);
        }
        id
    }

    /// An edit was agreed on. It may be remembered no more, or another of its path.
    pub fn agreed(&mut self, path: &RelPath, id: TraceId, took: Micros) {
        if let Some((last, trace)) = self.at.get_mut(path)
            && *last == id
        {
            trace.agreed = Some(took);
        }
    }

    /// The last edit of a path.
    #[must_use]
    pub fn get(&self, path: &RelPath) -> Option<&Trace> {
        self.at.get(path).map(|(_, trace)| trace)
    }
}

#[cfg(test)]
mod tests {
    use common::side::Side;
    use common::time::Timestamp;
    use common::wire::client::timed::Stages;

    use super::*;

    fn path(number: usize) -> RelPath {
        RelPath::new(number.to_string()).expect("a path")
    }

    fn trace() -> Trace {
        let (stages, agreed) = (Stages::default(), None);
        Trace { from: Side::A, time: Timestamp::default(), stages, agreed }
    }

    #[test]
    fn the_paths_that_were_edited_last_are_remembered() {
        let mut traces = Traces::default();
        for number in (0..PATHS_MAX).chain([0; 3 * PATHS_MAX]) {
            traces.put(path(number), trace());
        }
        assert!(traces.get(&path(1)).is_some(), "edits of one path push out no other");
        traces.put(path(PATHS_MAX), trace());
        assert!(traces.get(&path(1)).is_none() && traces.get(&path(0)).is_some());
        assert_eq!((traces.at.len(), traces.order.len()), (PATHS_MAX, PATHS_MAX));
    }

    #[test]
    fn only_the_last_edit_of_a_path_can_be_agreed_on() {
        let mut traces = Traces::default();
        let old = traces.put(path(1), trace());
        let new = traces.put(path(1), trace());
        traces.agreed(&path(1), old, Micros::from(5));
        assert_eq!(traces.get(&path(1)).expect("there").agreed, None);
        traces.agreed(&path(1), new, Micros::from(7));
        assert_eq!(traces.get(&path(1)).expect("there").agreed, Some(Micros::from(7)));
    }
}
