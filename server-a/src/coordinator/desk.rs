//! The desk at which clients are served, one request each.
//!
//! A request first waits until both sides have said everything that was done before it (a
//! barrier), so that an index, a lock or an answer never refers to a past that the client cannot
//! know of. What must be durable before the client hears of it goes out with the next save.

use std::collections::{BTreeMap, BTreeSet};

use common::path::RelPath;
use common::side::Side;
use common::time::Moment;
use common::wire::client::{Answer, Refusal, RefusalKind, Request, Target, Waited};
use common::wire::message::{Order, OrderId};

use super::Coordinator;
use super::action::Action;
use super::draining::Drained;
use super::event::ClientId;

/// How long a side may take to say everything, in milliseconds.
const SETTLE_MS: u64 = 10_000;
/// How long an unlock is waited for while something stands in its way, in milliseconds.
pub(super) const UNLOCK_MS: u64 = 15_000;
/// How long both sides may take to agree after the last step of an errand, in milliseconds.
const ERRAND_MS: u64 = 20_000;
/// How long a step of an errand may take: a file of any size is read or copied.
const STEP_MS: u64 = 600_000;

/// Requests that are not answered yet, and what goes with them.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) asks: BTreeMap<ClientId, Ask>,
    pub(super) cursors: BTreeMap<ClientId, Cursor>,
    pub(super) unsaved: Vec<(ClientId, Answer)>,
    pub(super) receipts: BTreeMap<u64, Drained>,
    pub(super) forced: BTreeMap<u64, String>,
}

/// How far a client has read a listing.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The generation that the listing was started in.
    pub(super) number: u64,
    /// The last path that was sent.
    pub(super) after: Option<RelPath>,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) request: Request,
    /// Barriers that are not passed yet.
    settling: BTreeSet<(Side, OrderId)>,
    pub(super) deadline: Moment,
    /// The lock whose drain the client waits for.
    pub(super) draining: Option<u64>,
}

impl Desk {
    pub(super) fn forget(&mut self, client: ClientId) {
        if let Some(lock) = self.asks.get(&client).and_then(|ask| ask.draining) {
            self.receipt(client, lock);
        }
        self.asks.remove(&client);
        self.cursors.remove(&client);
    }

    pub(super) fn settled(&mut self, side: Side, id: OrderId) {
        for ask in self.asks.values_mut() {
            ask.settling.remove(&(side, id));
        }
    }

    pub(super) fn peer_away(&mut self) {
        for ask in self.asks.values_mut() {
            ask.settling.retain(|(side, _)| *side != Side::B);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.asks.values().map(|ask| ask.deadline).min()
    }

    /// Whether a client waits for all files to be read.
    pub(super) fn wants_reading(&self) -> bool {
        let deep = |ask: &Ask| matches!(ask.request, Request::Verify { deep: true, .. });
        self.asks.values().any(deep)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    pub(super) fn take_unsaved(&mut self) -> Vec<(ClientId, Answer)> {
        std::mem::take(&mut self.unsaved)
    }

    pub(super) fn drained(&mut self, lock: u64, done: Drained) {
        if self.asks.values().any(|ask| ask.draining == Some(lock)) {
            self.receipts.insert(lock, done);
        }
    }

    /// What an unlock has done, for one client that waited for it; the last one takes it.
    pub(super) fn receipt(&mut self, client: ClientId, lock: u64) -> Option<Drained> {
        let waits = |(&who, ask): (&ClientId, &Ask)| who != client && ask.draining == Some(lock);
        if self.asks.iter().any(waits) {
            return self.receipts.get(&lock).cloned();
        }
        self.receipts.remove(&lock)
    }

    /// Something was done for a client: its time begins anew.
    pub(super) fn go_on(&mut self, client: ClientId, now: Moment) {
        self.wait_until(client, now.after_ms(ERRAND_MS));
    }

    /// All that takes long is done for a client.
    pub(super) fn finish_soon(&mut self, client: ClientId, now: Moment) {
        if let Some(ask) = self.asks.get_mut(&client) {
            ask.deadline = ask.deadline.min(now.after_ms(ERRAND_MS));
        }
    }

    /// Something is begun for a client that may take long.
    pub(super) fn take_time(&mut self, client: ClientId, now: Moment) {
        self.wait_until(client, now.after_ms(STEP_MS));
    }

    fn wait_until(&mut self, client: ClientId, deadline: Moment) {
        if let Some(ask) = self.asks.get_mut(&client) {
            ask.deadline = deadline;
        }
    }

    pub(super) fn forced_by(&mut self, lock: u64) -> Option<String> {
        self.forced.remove(&lock)
    }
}

/// A refusal without a hint.
fn refused(message: impl Into<String>) -> Answer {
    Answer::Refused(refusal(message, None))
}

pub(super) fn refusal(message: impl Into<String>, hint: Option<&str>) -> Refusal {
    let hint = hint.map(str::to_string);
    Refusal { kind: RefusalKind::Refused, message: message.into(), hint }
}

/// What a client hears when its wish could not be made durable.
pub(super) fn cannot_save(reason: &str) -> Answer {
    refused(format!("it cannot be remembered: {reason}"))
}

impl Coordinator {
    /// A holder whose lock was broken hears of it, once, before whatever it asks for.
    pub(super) fn greeted(&mut self, client: ClientId, holder: &str, out: &mut Vec<Action>) {
        let broken = self.broken.take(holder);
        if !broken.is_empty() {
            self.unsaved.broken = Some(self.broken.clone());
            out.push(Action::Answer(client, Answer::Broken(broken)));
        }
    }

    pub(super) fn asked(&mut self, client: ClientId, request: Request, out: &mut Vec<Action>) {
        let answer = match &request {
            Request::Locks => Some(Answer::Locks(self.lock_rows())),
            Request::Status { path: None } => Some(Answer::Status(Box::new(self.status()))),
            Request::Approve => Some(Answer::Done(self.approve(out))),
            Request::Reject => Some(self.reject(out).map_or_else(refused, Answer::Done)),
            Request::Scrub => {
                for side in self.present() {
                    out.push(Action::Order(side, Order::Rescan { path: None }));
                }
                Some(Answer::Done("scanning everything".to_string()))
            }
            _ => None,
        };
        match answer {
            Some(answer) => out.push(Action::Answer(client, answer)),
            None => self.settle(client, request, out),
        }
    }

    /// A client went away.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.desk.forget(client);
        self.errands.forget(client);
        self.salvages.forget(client);
        self.resolvings.remove(&client);
    }

    /// The sides that are there.
    pub(super) fn present(&self) -> Vec<Side> {
        let connected = self.link == common::wire::client::Link::Connected;
        Side::BOTH.into_iter().filter(|&side| side == Side::A || connected).collect()
    }

    fn settle(&mut self, client: ClientId, request: Request, out: &mut Vec<Action>) {
        let mut settling = BTreeSet::new();
        for side in self.present() {
            let id = self.order_id();
            settling.insert((side, id));
            out.push(Action::Order(side, Order::Settle { id }));
        }
        let ms = match request {
            Request::Wait { timeout_ms } | Request::Verify { timeout_ms, .. } => timeout_ms,
            _ => SETTLE_MS,
        };
        let deadline = self.now.moment.after_ms(ms);
        self.desk.asks.insert(client, Ask { request, settling, deadline, draining: None });
    }

    /// Answers every request that can be answered now.
    pub(super) fn serve(&mut self, out: &mut Vec<Action>) {
        self.step_errands(out);
        let clients: Vec<ClientId> = self.desk.asks.keys().copied().collect();
        for client in clients {
            let Some(ask) = self.desk.asks.get(&client).cloned() else { continue };
            let late = ask.deadline <= self.now.moment;
            if !ask.settling.is_empty() && !late {
                continue;
            }
            if self.answer(client, &ask, late, out) {
                self.desk.asks.remove(&client);
            }
        }
    }

    /// Tries to answer; says whether it did.
    fn answer(&mut self, client: ClientId, ask: &Ask, late: bool, out: &mut Vec<Action>) -> bool {
        let answer = match &ask.request {
            Request::List if !late && !self.holds.is_empty() => return false,
            Request::List => {
                let cursor = Cursor { number: self.number, after: None };
                self.desk.cursors.insert(client, cursor);
                self.more(client, out);
                return true;
            }
            Request::Wait { .. } => match self.waited(ask, late) {
                Some(waited) => Answer::Waited(waited),
                None => return false,
            },
            Request::Lock { target, holder, comment, ttl_s } => {
                if !late && !self.is_quiet_at(target_path(target)) {
                    return false;
                }
                if self.writes_at(target) {
                    let kind = RefusalKind::StillWaiting;
                    let message = "it is just being written at A; try again".to_string();
                    Answer::Refused(Refusal { kind, message, hint: None })
                } else {
                    self.lock(client, target, holder, comment.as_ref(), *ttl_s, out);
                    return true;
                }
            }
            Request::Unlock { .. } => return self.unlock(client, ask, late, out),
            Request::Held { target } => {
                if !late && !self.holds.is_empty() {
                    return false;
                }
                self.held_rows(target.as_ref())
            }
            Request::Status { path: Some(path) } => Answer::PathStatus(self.path_status(path)),
            Request::Verify { deep, .. } => match self.check_for_client(*deep, late, out) {
                Some(found) => Answer::Verified(Box::new(found)),
                None => return false,
            },
            Request::Log(query) => {
                if !late && !self.quiet_below(query.path.as_ref()) {
                    return false;
                }
                out.push(Action::Recall(client, query.clone()));
                return true;
            }
            Request::Trash { below } => {
                return self.list_trash(client, below.as_ref(), late, out);
            }
            Request::Restore(wish) => return self.restore(client, wish, late, out),
            Request::Conflicts => {
                self.list_conflicts(client, out);
                return true;
            }
            Request::Resolve(wish) => return self.resolve_conflicts(client, wish, late, out),
            _ => return true,
        };
        out.push(Action::Answer(client, answer));
        true
    }

    fn waited(&self, ask: &Ask, late: bool) -> Option<Waited> {
        let halted = self.halt_words();
        let away = (!self.ready.b).then(|| "server B is away".to_string());
        let saved = self.saves.is_empty() && self.unsaved.archive.is_empty();
        let settled = ask.settling.is_empty() && self.is_idle() && self.drains.is_empty() && saved;
        let standing = self.waits.reasons().any(|(_, reason)| !reason.is_transient());
        let moments = self.waits.reasons().any(|(_, reason)| reason.is_transient());
        let mut waiting = self.waits.rows(None, self.now, 100);
        waiting.extend(self.unread_rows());
        if settled && halted.is_none() && away.is_none() {
            if waiting.is_empty() {
                return Some(Waited::Done);
            }
            if !moments && (standing || self.waits.len() == 0) {
                return Some(Waited::Waiting { timed_out: false, reason: None, waiting });
            }
        }
        if late || halted.is_some() {
            let reason = halted.or(away);
            return Some(Waited::Waiting { timed_out: late, reason, waiting });
        }
        None
    }

    /// Whether nothing is under way at a path or, without one, anywhere.
    fn quiet_below(&self, path: Option<&RelPath>) -> bool {
        match path {
            Some(path) => self.is_quiet_at(path),
            None => self.is_idle() || self.halted() || !self.ready.b,
        }
    }

    /// Whether our hand is changing something at A that a lock of the target would cover.
    fn writes_at(&self, target: &Target) -> bool {
        self.flights.touching_at(Side::A, target_path(target))
    }

    /// The path that a target means, if it still means what the client saw.
    pub(super) fn resolve(&self, target: &Target) -> Result<RelPath, Refusal> {
        let known = |path: &RelPath| {
            Side::BOTH.iter().any(|&side| self.seen[side].get(path).is_some())
                || self.archive.get(path).is_some()
                || self.locks.at(path).is_some()
        };
        match target {
            Target::Path(path) if known(path) => Ok(path.clone()),
            Target::Path(path) => {
                Err(refusal(format!("there is no `{path}`"), Some("run `lab3` to see the files")))
            }
            Target::Shown { path, generation } => {
                let fresh = generation.epoch == self.epoch
                    && generation.number <= self.number
                    && self.births.same_since(path, generation.number)
                    && known(path);
                if fresh {
                    return Ok(path.clone());
                }
                Err(refusal(
                    format!("the listing is stale: `{path}` is no longer what it showed"),
                    Some("list again with `lab3`, then use the new index"),
                ))
            }
        }
    }
}

/// The path that a target names.
pub(super) fn target_path(target: &Target) -> &RelPath {
    match target {
        Target::Path(path) | Target::Shown { path, .. } => path,
    }
}
