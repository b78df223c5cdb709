//! The directory goes while something is carried out in it: what came out of it waits nowhere.

use crate::disk::{Deed, Verdict};
use crate::disk_cases::{Case, Run, What, cases};
use crate::disk_commit::{Tally, ends_well, undisturbed};

/// Cases in which a file or link makes room.
fn replacing() -> impl Iterator<Item = Case> {
    let is_it = |case: &Case| matches!(case.before, What::File | What::Link) && !case.shut;
    let makes_room = |case: &Case| !matches!(case.after, What::Other | What::Moved);
    cases().into_iter().filter(move |case| is_it(case) && makes_room(case))
}

#[test]
fn what_was_edited_before_its_directory_went_is_seen_at_once() {
    let mut tally = Tally::default();
    for case in replacing() {
        let (calls, _) = undisturbed(case);
        for edited in 1..=calls {
            for gone in edited..=calls {
                let run = Run::new(case);
                let place = run.place();
                run.whim(Some(Box::new(move |files, _| {
                    if files.calls == edited {
                        files.deed(&Deed::Write("d/f", b"rewritten".to_vec()));
                    }
                    if files.calls == gone {
                        files.deed(&Deed::Filled("d", b"made again".to_vec()));
                    }
                    Verdict::Go
                })));
                let outcome = run.commit(&place);
                run.whim(None);
                let waits = run.disk.lock().walk(".lab3/stage");
                let result = if waits.is_empty() {
                    ends_well(&run, place)
                } else {
                    Err(format!("it waits in stage: {:?}", waits.keys()))
                };
                let how = || format!("edited at {edited}, gone at {gone}, {outcome:?}");
                tally.note(&run, &how, result);
            }
        }
    }
    tally.end("directories that go");
}
