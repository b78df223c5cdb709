//! Trash: what both sides have there, and bringing a version back.
//!
//! A version comes back at the side that has it, through the ordinary commit, as if that side's
//! user had put it there. It stays in trash: it is copied, and leaves when its time is over.

use std::collections::{BTreeMap, BTreeSet};

use common::limits::TRASH_ROWS_MAX;
use common::path::RelPath;
use common::side::Side;
use common::wire::client::kept::{Restore, Restored, TrashPart};
use common::wire::client::{Answer, Link};
use common::wire::message::{Content, Order, OrderId, Report};
use common::wire::parts::parts as split;
use common::wire::trashed::{TrashFound, TrashRow};

use super::Coordinator;
use super::action::{Action, Note};
use super::desk::refusal;
use super::errands::{Progress, Step, not_now, put};
use super::event::ClientId;

/// A list of what is in trash, while it is collected.
#[derive(Debug, Default)]
struct Collecting {
    open: BTreeMap<OrderId, Side>,
    rows: Vec<(Side, TrashRow)>,
    left_out: u64,
    failed: Option<String>,
}

/// A version on its way back.
#[derive(Debug)]
enum Restoring {
    /// Its side looks at it.
    Finding(Side, OrderId),
    /// It was looked at.
    Found(Result<Option<TrashFound>, String>),
    /// It is being put here.
    Going(Side, RelPath),
}

/// What clients asked about trash.
#[derive(Debug, Default)]
pub(super) struct Salvages {
    lists: BTreeMap<ClientId, Collecting>,
    restores: BTreeMap<ClientId, Restoring>,
}

impl Salvages {
    pub(super) fn forget(&mut self, client: ClientId) {
        self.lists.remove(&client);
        self.restores.remove(&client);
    }

    /// Nothing will be heard of B's trash any more.
    pub(super) fn peer_away(&mut self) {
        for list in self.lists.values_mut() {
            list.open.retain(|_, side| *side != Side::B);
        }
        for restore in self.restores.values_mut() {
            if let Restoring::Finding(Side::B, _) = restore {
                *restore = Restoring::Found(Err("server B went away".to_string()));
            }
        }
    }

    /// A side says what it has in trash.
    pub(super) fn heard(&mut self, side: Side, report: Report) {
        match report {
            Report::Trash { id, rows, left_out, last } => {
                let mut lists = self.lists.values_mut();
                let Some(list) = lists.find(|list| list.open.get(&id) == Some(&side)) else {
                    return;
                };
                match rows {
                    Ok(rows) if list.rows.len() + rows.len() > 2 * TRASH_ROWS_MAX => {
                        list.failed = Some(format!("side {side} names too many versions"));
                    }
                    Ok(rows) => list.rows.extend(rows.into_iter().map(|row| (side, row))),
                    Err(why) => list.failed = Some(format!("the trash of side {side}: {why}")),
                }
                list.left_out += left_out;
                if last {
                    list.open.remove(&id);
                }
            }
            Report::TrashFound { id, found } => {
                let asked = |restoring: &&mut Restoring| match restoring {
                    Restoring::Finding(at, it) => (*at, *it) == (side, id),
                    _ => false,
                };
                if let Some(restore) = self.restores.values_mut().find(asked) {
                    *restore = Restoring::Found(found);
                }
            }
            _ => {}
        }
    }
}

impl Coordinator {
    /// Serves a list of trash; says whether it was answered.
    pub(super) fn list_trash(
        &mut self,
        client: ClientId,
        below: Option<&RelPath>,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        if !self.salvages.lists.contains_key(&client) {
            let mut open = BTreeMap::new();
            for side in self.present() {
                let id = self.order_id();
                open.insert(id, side);
                out.push(Action::Order(side, Order::ListTrash { id, below: below.cloned() }));
            }
            self.salvages.lists.insert(client, Collecting { open, ..Collecting::default() });
            self.desk.go_on(client, self.now.moment);
            return false;
        }
        if !late && self.salvages.lists.get(&client).is_some_and(|list| !list.open.is_empty()) {
            return false;
        }
        let Some(list) = self.salvages.lists.remove(&client) else { return true };
        if let Some(why) = list.failed {
            out.push(Action::Answer(client, Answer::Refused(refusal(why, None))));
            return true;
        }
        if let Some(side) = list.open.values().next() {
            let late = not_now(format!("side {side} did not say in time what it has"), None);
            out.push(Action::Answer(client, Answer::Refused(late)));
            return true;
        }
        let parts = parts(self.link.clone(), list.rows, list.left_out);
        out.extend(parts.into_iter().map(|part| Action::Answer(client, Answer::Trash(part))));
        true
    }

    /// Serves a restore; says whether it was answered.
    pub(super) fn restore(
        &mut self,
        client: ClientId,
        wish: &Restore,
        late: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let answer = match self.salvages.restores.remove(&client) {
            None => self.begin_restore(client, wish, out),
            Some(going @ Restoring::Finding(side, _)) => {
                if !late {
                    self.salvages.restores.insert(client, going);
                    return false;
                }
                let late = not_now(format!("side {side} did not look at it in time"), None);
                Some(Answer::Refused(late))
            }
            Some(Restoring::Found(found)) => self.restore_found(client, wish, found, late, out),
            Some(Restoring::Going(side, path)) => self.restoring(client, side, path, late),
        };
        let Some(answer) = answer else { return false };
        if let Answer::Restored(Restored { side, path, .. }) = &answer {
            out.push(Action::Note(Note::Restored(*side, path.clone())));
        }
        self.errands.forget(client);
        out.push(Action::Answer(client, answer));
        true
    }

    fn begin_restore(
        &mut self,
        client: ClientId,
        wish: &Restore,
        out: &mut Vec<Action>,
    ) -> Option<Answer> {
        let side = wish.id.side;
        if !self.present().contains(&side) {
            let message = format!("`{}` is in server B's trash, and server B is away", wish.id);
            return Some(Answer::Refused(not_now(message, Some("try again when it is back"))));
        }
        let id = self.order_id();
        out.push(Action::Order(side, Order::FindTrash { id, name: wish.id.name.clone() }));
        self.salvages.restores.insert(client, Restoring::Finding(side, id));
        self.desk.take_time(client, self.now.moment);
        None
    }

    fn restore_found(
        &mut self,
        client: ClientId,
        wish: &Restore,
        found: Result<Option<TrashFound>, String>,
        late: bool,
        out: &mut Vec<Action>,
    ) -> Option<Answer> {
        let version = match &found {
            Ok(Some(version)) => version.clone(),
            Ok(None) => {
                let message = format!("there is no `{}` in trash", wish.id);
                let hint = "run `lab3 trash` to see what is there";
                return Some(Answer::Refused(refusal(message, Some(hint))));
            }
            Err(why) => {
                let message = format!("cannot look at `{}`: {why}", wish.id);
                return Some(Answer::Refused(not_now(message, None)));
            }
        };
        let side = wish.id.side;
        let path = wish.to.clone().unwrap_or_else(|| version.path.clone());
        if !late && !self.is_quiet_at(&path) {
            self.salvages.restores.insert(client, Restoring::Found(found));
            return None;
        }
        match self.steps_to_restore(side, &path, wish, version) {
            Err(refusal) => Some(Answer::Refused(refusal)),
            Ok(steps) => {
                self.errands.add(client, 0, side, steps);
                self.step_errands(out);
                self.desk.take_time(client, self.now.moment);
                self.salvages.restores.insert(client, Restoring::Going(side, path));
                None
            }
        }
    }

    fn steps_to_restore(
        &self,
        side: Side,
        path: &RelPath,
        wish: &Restore,
        version: TrashFound,
    ) -> Result<Vec<Step>, common::wire::client::Refusal> {
        if let Some(refusal) = self.unfit(side, path) {
            return Err(refusal);
        }
        let elsewhere = "`--to PATH` brings it back under another name";
        let here = self.seen[side].get(path);
        let any = here.or_else(|| self.seen[side.other()].get(path));
        if any.is_some_and(|there| there.is_dir()) {
            let message = format!("`{path}` is a directory now");
            return Err(refusal(message, Some(elsewhere)));
        }
        if any.is_some() && !wish.over {
            let hint = format!("{elsewhere}; `--over` puts what is there now into trash");
            return Err(refusal(format!("`{path}` is there already"), Some(&hint)));
        }
        let mut steps = self
            .missing_parents(side, path)
            .map_err(|file| refusal(format!("`{file}` is not a directory now"), Some(elsewhere)))?;
        let content = Content::Trashed(wish.id.name.clone());
        steps.push(put(path.clone(), here.cloned(), Some(version.entry), content));
        Ok(steps)
    }

    fn restoring(
        &mut self,
        client: ClientId,
        side: Side,
        path: RelPath,
        late: bool,
    ) -> Option<Answer> {
        match self.errands.progress(client, 0) {
            Progress::Failed(refusal) => return Some(Answer::Refused(refusal)),
            Progress::Going if late => {
                return Some(Answer::Refused(not_now("it is still being brought back", None)));
            }
            Progress::Going => {}
            Progress::Done => {
                let paths = BTreeSet::from([path.clone()]);
                let agreed = self.ready.b && self.agreed_on(&paths);
                if agreed || late || !self.ready.b {
                    let waiting = if agreed { Vec::new() } else { self.why_waiting(&paths) };
                    return Some(Answer::Restored(Restored { side, path, agreed, waiting }));
                }
            }
        }
        self.salvages.restores.insert(client, Restoring::Going(side, path));
        None
    }
}

/// The rows of both sides, the newest first, in parts that a message can carry.
fn parts(b: Link, mut rows: Vec<(Side, TrashRow)>, left_out: u64) -> Vec<TrashPart> {
    rows.sort_by(|(_, a), (_, b)| (b.time, &b.name).cmp(&(a.time, &a.name)));
    let parts = split(rows, |(_, row)| row.path.as_bytes().len());
    let count = parts.len();
    let part = |(at, rows)| TrashPart { b: b.clone(), rows, left_out, last: at + 1 == count };
    parts.into_iter().enumerate().map(part).collect()
}
