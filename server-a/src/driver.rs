//! Owns the coordinator: events in, actions out, one at a time, on one thread.
//!
//! It has no opinion. Each action is one call of whoever carries it out. What has arrived meanwhile
//! is handled together, so that much at once costs few writes; one event alone never waits.
#![expect(clippy::disallowed_methods, reason = "the clock and the thread of the coordinator")]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use common::replica::service::Replica;
use common::side::Side;
use common::time::{Moment, Timestamp};
use common::wire::message::{Order, PeerMessage};

use crate::clients::Desk;
use crate::contents::Contents;
use crate::coordinator::Coordinator;
use crate::coordinator::action::Action;
use crate::coordinator::event::{Event, Now};
use crate::journal::Journal;
use crate::keeper::Keep;
use crate::mail::Mail;
use crate::notes;
use crate::peer::Link;
use crate::saver::Save;
use crate::timing::{Timing, When};
use crate::underway::file::Recording;

/// Events that are handled before their actions are carried out.
const EVENTS_AT_ONCE: usize = 64;

/// The coordinator and all who carry out its actions.
pub(crate) struct Driver {
    pub(crate) coordinator: Coordinator,
    pub(crate) contents: Contents,
    pub(crate) replica: Arc<Replica>,
    pub(crate) link: Arc<Link>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) saver: Sender<Save>,
    pub(crate) keeper: Sender<Keep>,
    pub(crate) journal: Journal,
    pub(crate) underway: Arc<Recording>,
    pub(crate) timing: Timing,
    /// All moments are after this.
    pub(crate) start: Instant,
}

/// Starts to drive.
pub(crate) fn start(driver: Driver, post: Receiver<Mail>) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name("coordinator".into()).spawn(move || drive(driver, &post))
}

fn drive(mut driver: Driver, post: &Receiver<Mail>) {
    let start = driver.start;
    let mut alarm: Option<Instant> = None;
    let mut actions = Vec::new();
    driver.coordinator.start(&mut actions);
    loop {
        driver.carry_out_all(&mut actions, |Moment(ms)| {
            alarm = Some(start + Duration::from_millis(ms));
        });
        let first = match alarm {
            Some(when) => post.recv_timeout(when.saturating_duration_since(Instant::now())),
            None => post.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let first = match first {
            Ok(mail) => mail,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                alarm = None;
                Mail::now(Event::Woke)
            }
        };
        for mail in std::iter::once(first).chain(post.try_iter()).take(EVENTS_AT_ONCE) {
            let Mail::Event(event, sent, _room) = mail else {
                driver.coordinator.end(&mut actions);
                driver.carry_out_all(&mut actions, |_| {});
                return;
            };
            let event = driver.contents.remember(event);
            let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let now = Now { moment: Moment(ms), wall: Timestamp::now() };
            let when = When { at: driver.micros(sent), wall: now.wall };
            driver.timing.hear(&event, when, || driver.link.round());
            let before = actions.len();
            driver.coordinator.handle(now, event, &mut actions);
            driver.account(&actions[before..]);
        }
    }
}

impl Driver {
    /// How long after the start something was, in microseconds.
    fn micros(&self, then: Instant) -> u64 {
        let after = then.saturating_duration_since(self.start);
        u64::try_from(after.as_micros()).unwrap_or(u64::MAX)
    }

    /// Says to whoever measures what one event has led to.
    fn account(&mut self, actions: &[Action]) {
        actions.iter().for_each(|action| self.timing.see(action));
        if self.coordinator.is_idle() {
            self.timing.rest();
        }
        self.timing.leave_out(|path| self.coordinator.is_withheld(path));
    }

    /// Carries out what several events have led to, in its order; what is to be remembered through
    /// a kill is written down before anything is done about it.
    fn carry_out_all(&mut self, actions: &mut Vec<Action>, mut wake_at: impl FnMut(Moment)) {
        self.underway.record_all(actions.iter().filter_map(|action| match action {
            Action::Trail(trail) => Some(trail),
            _ => None,
        }));
        for action in actions.drain(..) {
            match action {
                Action::WakeAt(when) => wake_at(when),
                action => self.carry_out(action),
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Order(side, order) => {
                let commit = match &order {
                    Order::Commit { id, .. } => Some(*id),
                    _ => None,
                };
                let now = self.micros(Instant::now());
                commit.into_iter().for_each(|id| self.timing.gives(id, now));
                // An order without an answer is one whose content is still being fetched.
                let Some(order) = self.contents.furnish(side, order) else {
                    commit.into_iter().for_each(|id| self.timing.fetches(id));
                    return;
                };
                match side {
                    Side::A => self.replica.order(order),
                    Side::B => self.link.send(&PeerMessage::Order(order)),
                }
            }
            Action::Hold(edit) => {
                let content = self.contents.at_hand(edit.after.as_ref());
                // The keeper outlives the driver.
                drop(self.keeper.send(Keep::Hold(edit, content)));
            }
            Action::Discard { seq, keep, edit } => {
                drop(self.keeper.send(Keep::Discard { seq, keep, edit }));
            }
            Action::HangUp(why) => self.link.hang_up(&why),
            Action::Save(id, batch) => drop(self.saver.send(Save::Batch(id, batch))),
            Action::Answer(client, mut answer) => {
                self.timing.complete(&mut answer);
                self.desk.answer(client, answer);
            }
            Action::WakeAt(_) | Action::Trail(_) => {}
            Action::Note(note) => notes::tell(&note),
            Action::Record(row) => self.journal.record(row),
            Action::Recall(client, query) => self.journal.recall(client, query),
            Action::Explain(paths) => self.journal.explain(paths),
        }
    }
}
