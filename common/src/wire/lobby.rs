//! Who is at the door and has not yet proved who he is: few at once, and nobody stays for long.
//!
//! When there is no room, the one who has waited longest goes, and of all addresses the one with
//! the most loses one. So whoever connects and says nothing keeps out nobody who has something to
//! say, for that takes milliseconds.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "connections come on several threads, and lines are counted by time"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Connections of all addresses that are being made at once.
const GUESTS_MAX: usize = 384;
/// … and of one address.
const GUESTS_OF_ONE_MAX: usize = 192;
/// So many lines about those who were not let in are said in a while.
const LINES_MAX: u32 = 20;
const WHILE: Duration = Duration::from_secs(10);

/// Those who are at the door.
#[derive(Clone, Debug, Default)]
pub struct Lobby {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    guests: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    said: Option<(Instant, u32)>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Guest {
    lobby: Lobby,
    number: u64,
    away: Arc<Notify>,
}

impl Lobby {
    /// Somebody comes. Somebody else may have to go.
    #[must_use]
    pub fn enter(&self, from: IpAddr) -> Guest {
        let from = whose(from);
        let away = Arc::new(Notify::new());
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        inner.guests.insert(number, (from, away.clone()));
        if let Some((_, gone)) = inner.too_many(from).and_then(|old| inner.guests.remove(&old)) {
            gone.notify_one();
        }
        Guest { lobby: self.clone(), number, away }
    }

    /// Whether one more line may be said about somebody who was not let in: a stranger must not
    /// fill a disk with them.
    #[must_use]
    pub fn may_say(&self) -> bool {
        let now = Instant::now();
        let mut inner = self.lock();
        let (since, count) =
            inner.said.filter(|(since, _)| now - *since < WHILE).unwrap_or((now, 0));
        inner.said = Some((since, count.saturating_add(1)));
        count < LINES_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Who has to go now that somebody came from this address.
    fn too_many(&self, from: IpAddr) -> Option<u64> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, _) in self.guests.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let crowd = if counts.get(&from).is_some_and(|count| *count > GUESTS_OF_ONE_MAX) {
            from
        } else if self.guests.len() > GUESTS_MAX {
            *counts.iter().max_by_key(|(_, count)| **count)?.0
        } else {
            return None;
        };
        self.guests.iter().find(|(_, (address, _))| *address == crowd).map(|(number, _)| *number)
    }
}

impl Guest {
    /// Comes when the room is needed for another.
    pub async fn sent_away(&self) {
        self.away.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.lobby.lock().guests.remove(&self.number);
    }
}

/// Who has one address of version 6 mostly has as many as differ in the second half.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lobby: &Lobby) -> Vec<u64> {
        lobby.lock().guests.keys().copied().collect()
    }

    #[tokio::test]
    async fn the_one_who_waited_longest_makes_room() {
        let lobby = Lobby::default();
        let all: Vec<Guest> = (0..1000).map(|_| lobby.enter(IpAddr::from([10, 0, 0, 1]))).collect();
        assert_eq!(numbers(&lobby).len(), GUESTS_OF_ONE_MAX);
        all[0].sent_away().await;
        all[1000 - GUESTS_OF_ONE_MAX - 1].sent_away().await;
        assert_eq!(numbers(&lobby).last(), Some(&1000));
        drop(all);
        assert!(numbers(&lobby).is_empty());
    }

    #[test]
    fn a_crowd_from_one_address_costs_another_nothing() {
        let lobby = Lobby::default();
        let honest = lobby.enter(IpAddr::from([10, 0, 0, 2]));
        let mut crowd = Vec::new();
        for number in 0..2000_u16 {
            let net = 0x2001 + number % 3;
            crowd.push(lobby.enter(IpAddr::from([net, 1, 2, 3, 4, number, 6, 7])));
        }
        assert_eq!(numbers(&lobby).len(), GUESTS_MAX);
        assert_eq!(numbers(&lobby).first(), Some(&honest.number));
    }

    #[test]
    fn a_stranger_cannot_make_us_say_much() {
        let lobby = Lobby::default();
        let said = (0..10_000).filter(|_| lobby.may_say()).count();
        assert_eq!(said, LINES_MAX as usize);
    }
}
