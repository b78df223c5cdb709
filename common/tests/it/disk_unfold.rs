//! A directory in the trash is unfolded, with everything that can happen at every call of it.

use std::collections::BTreeMap;

use common::change::Outcome;
use common::replica::trash::Reason;
use rustix::io::Errno;

use crate::disk::Verdict;
use crate::disk_cases::{Case, Run, WHOLE, What};

const ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::ACCESS];
const CASE: Case = Case { before: What::Dir, after: What::Cleared, features: WHOLE, shut: false };

/// A directory lies in the trash, and is unfolded until something happens at this call.
fn disturbed(n: u64, verdict: Verdict, portion: usize, same_process: bool) -> Run {
    let run = Run::new(CASE);
    let mut place = run.place();
    assert!(matches!(run.commit(&place), Outcome::Done { .. }));
    if !same_process {
        run.disk.lock().stop();
        place = run.place();
    }
    run.whim(Some(Box::new(move |files, _| if files.calls == n { verdict } else { Verdict::Go })));
    run.killable(|| place.committer.publisher.unfold(portion));
    run
}

/// Every version is there once, with the path that it had.
fn check(run: &Run, how: &str) {
    run.recover().expect(how);
    let publisher = run.place().committer.publisher;
    while publisher.unfold(1) > 0 {}
    publisher.unfold(1);
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for version in publisher.trash.list().expect("it can be listed") {
        assert_eq!(version.reason, Reason::Deleted, "{how}: {version:?}");
        *found.entry(version.path.to_string()).or_default() += 1;
    }
    let once: BTreeMap<String, u32> =
        ["d/f/in", "d/f/sub/in", "d/f/sub/link"].map(|path| (path.to_string(), 1)).into();
    assert_eq!(found, once, "{how}");
    run.check().expect(how);
    let left = run.disk.lock().walk(".lab3/trash").into_keys();
    let folded: Vec<String> = left.filter(|name| name.starts_with("q-")).collect();
    assert!(folded.is_empty(), "{how}: {folded:?}");
}

#[test]
fn an_unfolding_that_stops_or_fails_anywhere_keeps_each_version_once_with_its_path() {
    let mut runs = 0;
    for same_process in [true, false] {
        for portion in [2, usize::MAX] {
            let verdicts = [Verdict::Stop].into_iter().chain(ERRORS.map(Verdict::Fail));
            for verdict in verdicts {
                let mut n = 0;
                loop {
                    n += 1;
                    let run = disturbed(n, verdict, portion, same_process);
                    let over = run.disk.lock().calls < n;
                    check(&run, &format!("{verdict:?} at {n}, {portion} at once"));
                    runs += 1;
                    if over {
                        break;
                    }
                }
            }
        }
    }
    eprintln!("unfolding: {runs} runs");
}
