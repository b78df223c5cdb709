//! What is told at once, in parts that a message can carry.
//!
//! A message that is too long for a frame is never sent, and nobody would learn what was in it. So
//! rows are counted with the bytes of their names, link targets and words, whatever users have
//! chosen, and not only with their number.

use crate::entry::Entry;
use crate::limits::{PART_BYTES_MAX, ROWS_PER_MESSAGE_MAX};
use crate::path::RelPath;
use crate::problem::Problem;
use crate::wire::message::{Observation, Report, Row};

/// How full a message is.
#[derive(Default)]
pub(super) struct Fill {
    rows: usize,
    bytes: usize,
}

impl Fill {
    /// One more is in it; answers whether it is full.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        let full = self.rows >= ROWS_PER_MESSAGE_MAX || self.bytes >= PART_BYTES_MAX;
        if full {
            *self = Fill::default();
        }
        full
    }
}

fn entry_bytes(entry: Option<&Entry>) -> usize {
    match entry {
        Some(Entry::Link(link)) => link.target.len(),
        _ => 0,
    }
}

fn row_bytes(row: &Row) -> usize {
    let content = row.content.as_ref().map_or(0, |content| content.len());
    row.path.as_bytes().len() + entry_bytes(row.entry.as_ref()) + content
}

/// Everything that is known, the last part marked.
pub(super) fn inventory<'k>(
    known: impl Iterator<Item = (&'k RelPath, &'k Entry)>,
    troubled: impl Iterator<Item = (&'k RelPath, &'k Problem)>,
    tell: impl Fn(Report),
) {
    let (mut rows, mut problems, mut fill) = (Vec::new(), Vec::new(), Fill::default());
    for (path, entry) in known {
        rows.push((path.clone(), entry.clone()));
        if fill.add(path.as_bytes().len() + entry_bytes(Some(entry))) {
            let rows = std::mem::take(&mut rows);
            tell(Report::Inventory { rows, problems: Vec::new(), last: false });
        }
    }
    for (path, problem) in troubled {
        problems.push((path.clone(), problem.clone()));
        if fill.add(path.as_bytes().len() + problem.detail.len()) {
            let (rows, problems) = (std::mem::take(&mut rows), std::mem::take(&mut problems));
            tell(Report::Inventory { rows, problems, last: false });
        }
    }
    tell(Report::Inventory { rows, problems, last: true });
}

/// What one look found, in the order: renames, rows, problems. Nothing is decided before its end.
pub(super) fn observation(news: Observation, tell: impl Fn(Report)) {
    if news == Observation::default() {
        return;
    }
    let (mut part, mut fill) = (Observation::default(), Fill::default());
    let pass = |part: &mut Observation| {
        let part = Observation { more: true, ..std::mem::take(part) };
        tell(Report::Observed(part));
    };
    let both = |(from, to): &(RelPath, RelPath)| from.as_bytes().len() + to.as_bytes().len();
    part.carried = news.carried;
    for moved in news.moved {
        let full = fill.add(both(&moved));
        part.moved.push(moved);
        full.then(|| pass(&mut part));
    }
    for strayed in news.strayed {
        let full = fill.add(both(&strayed));
        part.strayed.push(strayed);
        full.then(|| pass(&mut part));
    }
    for row in news.rows {
        let full = fill.add(row_bytes(&row));
        part.rows.push(row);
        full.then(|| pass(&mut part));
    }
    for (path, problem) in news.problems {
        let words = problem.as_ref().map_or(0, |problem| problem.detail.len());
        let full = fill.add(path.as_bytes().len() + words);
        part.problems.push((path, problem));
        full.then(|| pass(&mut part));
    }
    tell(Report::Observed(Observation { more: news.more, ..part }));
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::entry::Link;
    use crate::limits::{FRAME_BYTES_MAX, LINK_BYTES_MAX};
    use crate::problem::ProblemKind;
    use crate::time::Timestamp;
    use crate::wire::connection::encode;
    use crate::wire::message::PeerMessage;

    fn path(number: usize, length: usize) -> RelPath {
        let name = format!("{number:06}{}", "/d".repeat(length / 2));
        RelPath::new(name).expect("a path")
    }

    fn link() -> Entry {
        let target = vec![b't'; LINK_BYTES_MAX - 1].into();
        Entry::from(Link { target, modified: Timestamp::default() })
    }

    fn problem() -> Problem {
        Problem { kind: ProblemKind::Unreadable, detail: "no".repeat(200) }
    }

    fn fit(told: &[Report]) {
        for report in told {
            let message = PeerMessage::Report(report.clone());
            encode(&message, FRAME_BYTES_MAX).expect("a message can carry it");
        }
    }

    #[test]
    fn an_inventory_of_long_names_targets_and_many_problems_fits_its_messages() {
        let rows: Vec<(RelPath, Entry)> = (0..3000).map(|n| (path(n, 3000), link())).collect();
        let problems: Vec<(RelPath, Problem)> =
            (0..20_000).map(|n| (path(n, 200), problem())).collect();
        let told = RefCell::new(Vec::new());
        let by_ref = |(path, entry)| (path, entry);
        inventory(
            rows.iter().map(|(path, entry)| by_ref((path, entry))),
            problems.iter().map(|(path, problem)| (path, problem)),
            |report| told.borrow_mut().push(report),
        );
        let told = told.into_inner();
        fit(&told);
        let (mut found, mut troubled, mut ends) = (0, 0, 0);
        for report in &told {
            let Report::Inventory { rows, problems, last } = report else { panic!("{report:?}") };
            (found, troubled) = (found + rows.len(), troubled + problems.len());
            ends += usize::from(*last);
        }
        assert_eq!((found, troubled, ends), (3000, 20_000, 1));
    }

    #[test]
    fn a_look_that_found_very_much_is_told_in_parts_of_one_look() {
        let news = Observation {
            moved: (0..3000).map(|n| (path(n, 900), path(n + 10_000, 900))).collect(),
            rows: (0..3000)
                .map(|n| Row { path: path(n, 900), entry: Some(link()), content: None, seen: None })
                .collect(),
            problems: (0..9000).map(|n| (path(n, 100), Some(problem()))).collect(),
            ..Observation::default()
        };
        let told = RefCell::new(Vec::new());
        observation(news.clone(), |report| told.borrow_mut().push(report));
        let told = told.into_inner();
        fit(&told);
        let mut again = Observation::default();
        for (at, report) in told.iter().enumerate() {
            let Report::Observed(part) = report.clone() else { panic!("{report:?}") };
            assert_eq!(part.more, at + 1 < told.len());
            again.moved.extend(part.moved);
            again.rows.extend(part.rows);
            again.problems.extend(part.problems);
        }
        assert_eq!(again, news);
    }
}
