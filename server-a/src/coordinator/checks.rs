//! The check that all trees are one: what each replica itself knows, A's picture of both, and the
//! archive.
//!
//! Both sides are asked for the digest of everything, and only where digests differ for what is in
//! a directory. A check counts only when nothing moved while it lasted; then what a side answers
//! is exactly what it has told, and any difference is a mistake of ours. What waits or is unknown
//! is excepted on both sides, and listed.

use std::collections::BTreeMap;

use common::entry::{Entry, same};
use common::limits::{EXCEPTION_BYTES_MAX, EXCEPTIONS_MAX};
use common::merkle::{Level, Sum};
use common::path::RelPath;
use common::side::{PerSide, Side};
use common::time::Moment;
use common::wire::log::{Happened, LogRow};
use common::wire::message::{Order, OrderId};
use common::wire::verify::{CheckEnd, DifferingRow, LastCheck, RottenRow, Verified};

use super::Coordinator;
use super::action::{Action, Note};
use super::answers::words;
use super::comparison::{Exceptions, Run, shown};

/// After so long an answer is not coming any more, in milliseconds.
const LOST_MS: u64 = 60_000;

/// When to check, the check under way, and what the last one found.
#[derive(Default)]
pub(super) struct Checks {
    /// How long after a change a check is due; never when absent.
    every_ms: Option<u64>,
    due: Option<Moment>,
    /// Grows with everything that changes a tree.
    motion: u64,
    /// The motion that the last check saw.
    checked: u64,
    run: Option<Run>,
    /// What a check just found, for the clients that wait for one.
    fresh: Option<Verified>,
    last: Option<LastCheck>,
    reading: Option<Reading>,
}

/// All files of both sides are being read, or have been.
#[derive(Default)]
struct Reading {
    asked: PerSide<Option<OrderId>>,
    read: u64,
    rotten: Vec<RottenRow>,
}

impl Checks {
    /// Something changed in a tree.
    pub(super) fn moved(&mut self) {
        self.motion += 1;
    }

    /// Nobody will answer any more.
    pub(super) fn give_up(&mut self) {
        self.run = None;
        self.reading = None;
    }

    /// A side has read all its files.
    pub(super) fn reread(
        &mut self,
        side: Side,
        id: OrderId,
        read: u64,
        rotten: Vec<(RelPath, String)>,
    ) {
        let Some(reading) = &mut self.reading else { return };
        if reading.asked[side].take_if(|asked| *asked == id).is_none() {
            return;
        }
        reading.read += read;
        let rotten = rotten.into_iter();
        reading.rotten.extend(rotten.map(|(path, detail)| RottenRow { path, side, detail }));
    }

    pub(super) fn last(&self) -> Option<&LastCheck> {
        self.last.as_ref()
    }

    /// When it is to be thought of again.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        self.due.filter(|due| *due > now && self.run.is_none())
    }

    /// What was found has been said to all who waited for it. What was read is of no use to who
    /// asks later.
    pub(super) fn said(&mut self, wants_reading: bool) {
        self.fresh = None;
        self.reading.take_if(|_| !wants_reading);
    }
}

impl Coordinator {
    /// From now on a check is made so long after a change.
    pub fn check_every(&mut self, ms: Option<u64>) {
        self.checks.every_ms = ms;
    }

    /// Begins a check when one is due: something changed, and some time has passed.
    pub(super) fn check_now_and_then(&mut self, out: &mut Vec<Action>) {
        let Some(every) = self.checks.every_ms else { return };
        let able = self.ready.a && self.ready.b && !self.halted();
        if !able || self.checks.motion == self.checks.checked {
            self.checks.due = None;
            return;
        }
        let now = self.now.moment;
        match self.checks.due {
            None => self.checks.due = Some(now.after_ms(every)),
            Some(due) if due > now => {}
            Some(_) if self.at_rest() && !self.is_checking() => {
                self.checks.due = Some(now.after_ms(every));
                self.begin_check(out);
            }
            // It begins with the event that brings rest.
            Some(_) => {}
        }
    }

    /// What a check that was asked for found, once it has; begins one when it can.
    pub(super) fn check_for_client(
        &mut self,
        deep: bool,
        late: bool,
        out: &mut Vec<Action>,
    ) -> Option<Verified> {
        let has_read = !deep || self.has_read();
        if let Some(found) = self.checks.fresh.clone().filter(|_| has_read) {
            return Some(if deep { self.with_what_was_read(found) } else { found });
        }
        let unknown = |why: String| Some(self.found(None, CheckEnd::Unknown(why)));
        if let Some(why) = self.halt_words() {
            return unknown(format!("halted: {why}"));
        }
        if !self.ready.b {
            return unknown("server B is away".to_string());
        }
        if late {
            return unknown("something is still on its way".to_string());
        }
        if !has_read {
            self.begin_reading(out);
        } else if self.at_rest() && !self.is_checking() {
            self.begin_check(out);
            return self.checks.fresh.clone();
        }
        None
    }

    fn has_read(&self) -> bool {
        let none_asked = |reading: &Reading| reading.asked.a.is_none() && reading.asked.b.is_none();
        self.checks.reading.as_ref().is_some_and(none_asked)
    }

    fn begin_reading(&mut self, out: &mut Vec<Action>) {
        if self.checks.reading.is_some() {
            return;
        }
        let mut reading = Reading::default();
        for side in Side::BOTH {
            let id = self.order_id();
            reading.asked[side] = Some(id);
            out.push(Action::Order(side, Order::Reread { id }));
        }
        self.checks.reading = Some(reading);
    }

    /// Who asks next has everything read anew.
    fn with_what_was_read(&mut self, found: Verified) -> Verified {
        let Reading { read, rotten, .. } = self.checks.reading.take().unwrap_or_default();
        Verified { read: Some(read), rotten, ..found }
    }

    fn at_rest(&self) -> bool {
        self.is_idle() && self.ready.a && self.ready.b
    }

    fn is_checking(&self) -> bool {
        let now = self.now.moment;
        self.checks.run.as_ref().is_some_and(|run| now.ms_since(run.began) < LOST_MS)
    }

    fn begin_check(&mut self, out: &mut Vec<Action>) {
        let all = self.exceptions();
        let bytes: usize = all.keys().map(|path| path.as_bytes().len()).sum();
        if all.len() > EXCEPTIONS_MAX || bytes > EXCEPTION_BYTES_MAX {
            let why = format!("{} paths wait or are unknown, too many to except", all.len());
            self.checks.checked = self.checks.motion;
            self.checks.fresh = Some(self.found(None, CheckEnd::Unknown(why)));
            return;
        }
        self.archive.pack();
        self.seen.a.pack();
        self.seen.b.pack();
        let run = Run::new(self.now.moment, self.checks.motion, all);
        self.checks.run = Some(run);
        self.ask_both(out);
    }

    /// What waits, is held, or is unknown: it may differ.
    fn exceptions(&self) -> Exceptions {
        let mut all = BTreeMap::new();
        for edit in self.queue.iter() {
            let reason = "an edit of B is held".to_string();
            all.insert(edit.path.clone(), (Some(Side::A), reason));
        }
        for side in Side::BOTH {
            for (path, problem) in &self.problems[side] {
                all.insert(path.clone(), (Some(side), problem.detail.clone()));
            }
        }
        for (path, reason) in self.waits.reasons() {
            all.insert(path.clone(), (reason.side(), reason.words()));
        }
        self.except_parked(&mut all);
        all
    }

    /// What waits for something that waits is excepted, too, as far as it differs.
    fn except_parked(&self, all: &mut Exceptions) {
        loop {
            let waiting = self.parked.pairs().filter(|(on, path)| {
                all.contains_key(*on) && !all.contains_key(*path) && !self.all_same(path)
            });
            let waiting: Vec<(RelPath, String)> =
                waiting.map(|(on, path)| (path.clone(), format!("it waits for `{on}`"))).collect();
            if waiting.is_empty() {
                return;
            }
            all.extend(waiting.into_iter().map(|(path, reason)| (path, (None, reason))));
        }
    }

    fn ask_both(&mut self, out: &mut Vec<Action>) {
        for side in Side::BOTH {
            let id = self.order_id();
            let Some(run) = &mut self.checks.run else { return };
            run.asked[side] = Some(id);
            run.got[side] = None;
            out.push(Action::Order(side, Order::Compare { id, question: run.question() }));
        }
    }

    /// A side has answered. When both have, and nothing moved, all that is known is compared.
    pub(super) fn compared(
        &mut self,
        side: Side,
        id: OrderId,
        level: Level,
        out: &mut Vec<Action>,
    ) {
        let Some(run) = &mut self.checks.run else { return };
        if run.asked[side] != Some(id) {
            return;
        }
        if run.motion != self.checks.motion {
            // It is begun anew as soon as nothing moves, by whoever wants it.
            self.checks.run = None;
            return;
        }
        run.got[side] = Some(level);
        if run.got.a.is_none() || run.got.b.is_none() {
            return;
        }
        let (Some(a), Some(b)) = (run.got.a.take(), run.got.b.take()) else { return };
        let question = run.question();
        let ours = self.seen.a.level(&question, &run.except);
        let theirs = self.seen.b.level(&question, &run.except);
        let agreed = self.archive.level(&question, &run.except);
        run.compare([a, b, ours, theirs, agreed]);
        if run.next() {
            self.ask_both(out);
        } else {
            self.end_check(out);
        }
    }

    fn end_check(&mut self, out: &mut Vec<Action>) {
        let Some(run) = self.checks.run.take() else { return };
        self.checks.checked = run.motion;
        self.checks.due = None;
        let end = match run.identical() {
            Some(Sum { digest, entries }) => CheckEnd::Identical { digest, entries },
            None => CheckEnd::Different,
        };
        let found = self.found(Some(&run), end);
        let identical = run.identical().is_some();
        let words = match &found.end {
            CheckEnd::Identical { digest, entries } => {
                format!("identical at {}, {entries} entries", digest.short())
            }
            _ => format!("{} paths differ", found.differing.len()),
        };
        self.checks.last = Some(LastCheck { time: self.now.wall, found: words.clone(), identical });
        out.push(Action::Note(Note::Checked { found: words, identical }));
        self.checks.fresh = Some(found);
        if !identical {
            self.heal(run, out);
        }
    }

    /// A difference that nothing explains is said with what led to it, and looked at anew on both
    /// sides. A side whose own knowledge is not what A takes it to be tells everything again.
    fn heal(&mut self, run: Run, out: &mut Vec<Action>) {
        for side in Side::BOTH {
            let lost = |at: &[Option<Entry>; 5]| {
                let (told, taken) = if side == Side::A { (0, 2) } else { (1, 3) };
                !same(at[told].as_ref(), at[taken].as_ref())
            };
            if run.differing.is_empty() || run.differing.iter().any(|(_, at)| lost(at)) {
                out.push(Action::Order(side, Order::Inventory));
            }
        }
        let mut paths = Vec::new();
        for (path, at) in run.differing {
            let at = at.each_ref().map(|entry| words(entry.as_ref()));
            let detail = format!(
                "A has {}; B has {}; A takes its own for {}, B's for {}; agreed was {}",
                at[0], at[1], at[2], at[3], at[4]
            );
            out.push(Action::Note(Note::Differs { path: path.clone(), detail: detail.clone() }));
            let row = LogRow::new(Happened::Differed, Some(path.clone()));
            self.record(LogRow { detail: Some(detail), ..row }, out);
            for side in Side::BOTH {
                out.push(Action::Order(side, Order::Rescan { path: Some(path.clone()) }));
            }
            self.dirty.insert(path.clone());
            paths.push(path);
        }
        if !paths.is_empty() {
            out.push(Action::Explain(paths));
        }
        // It is checked again whether that helped.
        self.checks.moved();
    }

    fn found(&self, run: Option<&Run>, end: CheckEnd) -> Verified {
        let all = if run.is_some() { BTreeMap::new() } else { self.exceptions() };
        let exception_count = run.map_or(all.len() as u64, |run| run.exception_count);
        let exceptions = match run {
            Some(run) => run.exceptions.clone(),
            None => shown(all),
        };
        let row = |(path, at): &(RelPath, [Option<Entry>; 5])| DifferingRow {
            path: path.clone(),
            at: at.each_ref().map(|entry| words(entry.as_ref())),
        };
        Verified {
            time: self.now.wall,
            end,
            differing: run.map_or_else(Vec::new, |run| run.differing.iter().map(row).collect()),
            more: run.is_some_and(|run| run.more),
            exceptions,
            exception_count,
            rotten: Vec::new(),
            read: None,
        }
    }
}
