//! Settling conflict copies for a client: from its wish to the answer.
//!
//! Everything is done at A, as A's user could have done it, and travels to B like any edit. The
//! client hears of it when both sides agree, or when something has to be waited for.

use std::collections::{BTreeMap, BTreeSet};

use common::path::RelPath;
use common::side::Side;
use common::wire::client::kept::{
    ConflictPart, ConflictRow, Fate, Resolve, Resolved, ResolvedRow, Which,
};
use common::wire::client::{Answer, Refusal, WaitingRow};
use common::wire::parts::parts;

use super::Coordinator;
use super::action::{Action, Note};
use super::conflicts::{Group, Plan, conflict_rows, groups, plan};
use super::desk::refusal;
use super::errands::{Progress, not_now};
use super::event::ClientId;

/// A wish that is being carried out.
#[derive(Debug, Default)]
pub(super) struct Resolving {
    /// What becomes of each group; nothing before it is begun.
    groups: Vec<Vec<ResolvedRow>>,
    /// All paths that it touches.
    paths: BTreeSet<RelPath>,
    /// Whether it is begun. Until then what is under way at its paths is waited for.
    begun: bool,
}

/// The wishes of all clients.
pub(super) type Resolvings = BTreeMap<ClientId, Resolving>;

impl Coordinator {
    /// All conflict copies, in parts.
    pub(super) fn list_conflicts(&self, client: ClientId, out: &mut Vec<Action>) {
        let bytes = |row: &ConflictRow| row.path.as_bytes().len() * 2;
        let parts = parts(conflict_rows(&self.view()), bytes);
        let count = parts.len();
        for (at, rows) in parts.into_iter().enumerate() {
            let part = ConflictPart { rows, last: at + 1 == count };
            out.push(Action::Answer(client, Answer::Conflicts(part)));
        }
    }

    /// Serves a wish to settle conflict copies; says whether it was answered.
    pub(super) fn resolve_conflicts(
        &mut self,
        client: ClientId,
        wish: &Resolve,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        match self.resolvings.remove(&client) {
            None => self.begin_resolve(client, wish, late, out),
            Some(waiting) if !waiting.begun => {
                if !late && !waiting.paths.iter().all(|path| self.is_quiet_at(path)) {
                    self.resolvings.insert(client, waiting);
                    return false;
                }
                self.begin_resolve(client, wish, true, out)
            }
            Some(resolving) => self.resolving(client, wish, resolving, late, out),
        }
    }

    fn begin_resolve(
        &mut self,
        client: ClientId,
        wish: &Resolve,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let chosen = match self.chosen(&wish.which) {
            Ok(chosen) => chosen,
            Err(refusal) => {
                out.push(Action::Answer(client, Answer::Refused(refusal)));
                return true;
            }
        };
        let mut resolving = Resolving { begun: true, ..Resolving::default() };
        if !late {
            let copies = chosen.iter().flat_map(|group| &group.copies);
            let paths: BTreeSet<RelPath> =
                copies.flat_map(|copy| [copy.path.clone(), copy.original.clone()]).collect();
            if !paths.iter().all(|path| self.is_quiet_at(path)) {
                self.resolvings.insert(client, Resolving { paths, ..Resolving::default() });
                return false;
            }
        }
        let mut tasks = Vec::new();
        for group in &chosen {
            let plan = self.planned(group, wish, &resolving.paths).unwrap_or_else(|refusal| {
                let copies = group.copies.iter();
                Plan { rows: copies.map(|copy| left(copy, &refusal)).collect(), ..Plan::default() }
            });
            let mut rows = plan.rows;
            rows.extend(group.edited.iter().map(|copy| left(copy, &not_as_named(copy))));
            rows.sort_by(|x, y| x.path.cmp(&y.path));
            tasks.push(plan.steps);
            resolving.groups.push(rows);
            resolving.paths.extend(plan.paths);
        }
        if wish.dry_run {
            self.answer_resolved(client, wish, resolving, out);
            return true;
        }
        for (number, steps) in tasks.into_iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            self.errands.add(client, number, Side::A, steps);
        }
        self.step_errands(out);
        self.desk.take_time(client, self.now.moment);
        self.resolving(client, wish, resolving, false, out)
    }

    /// The groups that are meant, as they are now.
    fn chosen(&self, which: &Which) -> Result<Vec<Group>, Refusal> {
        let rows = conflict_rows(&self.view());
        let list = Some("run `lab3 conflicts` to see them");
        let (path, shown) = match which {
            Which::All => return Ok(groups(rows, false)),
            Which::Path(path) => (path, None),
            Which::Shown { path, digest, rival } => (path, Some((digest, rival))),
        };
        if let Some(row) = rows.iter().find(|row| row.path == *path) {
            if shown.is_some_and(|shown| shown != (&row.digest, &row.rival)) {
                let message = format!("`{path}`, or what has its name, has changed since");
                return Err(refusal(message, Some("list again with `lab3 conflicts`")));
            }
            return Ok(groups(vec![row.clone()], true));
        }
        let of_name: Vec<ConflictRow> =
            rows.into_iter().filter(|row| row.original == *path).collect();
        if of_name.is_empty() || shown.is_some() {
            return Err(refusal(format!("there is no conflict copy `{path}`"), list));
        }
        Ok(groups(of_name, false))
    }

    /// What it takes to settle a group now.
    fn planned(
        &self,
        group: &Group,
        wish: &Resolve,
        taken: &BTreeSet<RelPath>,
    ) -> Result<Plan, Refusal> {
        let is_free = |path: &RelPath| {
            let somewhere = Side::BOTH.iter().any(|&side| self.seen[side].get(path).is_some());
            !somewhere && self.archive.get(path).is_none() && !taken.contains(path)
        };
        let plan = plan(&self.seen.a, group, wish.take, is_free)?;
        for path in &plan.paths {
            if let Some(refusal) = self.unfit(Side::A, path) {
                return Err(refusal);
            }
            if self.ready.b && !self.agreed_below(path) || taken.contains(path) {
                let hint = "`lab3 status PATH` says why it waits";
                return Err(not_now(format!("`{path}` is still on its way"), Some(hint)));
            }
        }
        match group.copies.iter().find(|copy| self.seen.a.get(&copy.path).is_none()) {
            Some(copy) => Err(not_now(format!("`{}` is not at A yet", copy.path), None)),
            None => Ok(plan),
        }
    }

    fn resolving(
        &mut self,
        client: ClientId,
        wish: &Resolve,
        mut resolving: Resolving,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let going = self.errands.is_going(client);
        let agreed = !going && self.ready.b && self.agreed_on(&resolving.paths);
        if !late && (going || self.ready.b && !agreed) {
            if !going {
                self.desk.finish_soon(client, self.now.moment);
            }
            self.resolvings.insert(client, resolving);
            return false;
        }
        for (number, rows) in resolving.groups.iter_mut().enumerate() {
            let refusal = match self.errands.progress(client, number) {
                Progress::Done => continue,
                Progress::Failed(refusal) => refusal,
                Progress::Going => not_now("it is still under way", None),
            };
            for row in rows.iter_mut().filter(|row| !matches!(row.fate, Fate::Left(_))) {
                row.fate = Fate::Left(refusal.clone());
            }
        }
        self.errands.forget(client);
        self.answer_resolved(client, wish, resolving, out);
        true
    }

    fn answer_resolved(
        &self,
        client: ClientId,
        wish: &Resolve,
        resolving: Resolving,
        out: &mut Vec<Action>,
    ) {
        let Resolving { groups, paths, .. } = resolving;
        let rows: Vec<ResolvedRow> = groups.into_iter().flatten().collect();
        // One that was named and cannot be done is a refusal like any other.
        if let ([ResolvedRow { fate: Fate::Left(why), .. }], Which::Path(_) | Which::Shown { .. }) =
            (rows.as_slice(), &wish.which)
        {
            out.push(Action::Answer(client, Answer::Refused(why.clone())));
            return;
        }
        let dry_run = wish.dry_run;
        if !dry_run {
            let done = rows.iter().filter(|row| !matches!(row.fate, Fate::Left(_)));
            out.extend(done.map(|row| Action::Note(Note::Resolved(row.clone()))));
        }
        let agreed = !dry_run && self.ready.b && self.agreed_on(&paths);
        let mut waiting: Vec<WaitingRow> =
            if dry_run || agreed { Vec::new() } else { self.why_waiting(&paths) };
        // A reason has a path in it, too, and some words.
        let parts = parts(rows, |row| row.path.as_bytes().len() * 4 + 512);
        let count = parts.len();
        for (at, rows) in parts.into_iter().enumerate() {
            let (waiting, last) = (std::mem::take(&mut waiting), at + 1 == count);
            let part = Resolved { dry_run, rows, agreed, waiting, last };
            out.push(Action::Answer(client, Answer::Resolved(part)));
        }
    }
}

fn left(copy: &ConflictRow, refusal: &Refusal) -> ResolvedRow {
    let (path, original) = (copy.path.clone(), copy.original.clone());
    ResolvedRow { path, original, fate: Fate::Left(refusal.clone()) }
}

fn not_as_named(copy: &ConflictRow) -> Refusal {
    let message = format!("`{}` holds something else than its name says", copy.path);
    refusal(message, Some("look at it, and resolve it by its name or its number"))
}
