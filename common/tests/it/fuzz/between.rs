//! What stands between two ends that shake hands: it carries their bytes, and alters some.
//!
//! The ends have sockets of one machine that pass for TCP, so that no run uses up a port. All runs
//! on one thread: an end that waits is seen by nothing being carried any more, and by no clock.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream as Plain};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::fuzzing::byte;

/// When nothing was carried for so many rounds, both ends wait.
const CALM_ROUNDS: u32 = 8;
/// More is not altered in one run.
const EDITS_MAX: usize = 8;

/// One change of what is carried.
#[derive(Clone, Copy)]
struct Edit {
    /// Before or at which byte.
    at: usize,
    deed: u8,
    amount: u8,
}

/// One of the two ways.
#[derive(Default)]
pub(crate) struct Way {
    edits: Vec<Edit>,
    /// Bytes that arrived here.
    arrived: usize,
    /// So many more are dropped.
    dropping: usize,
    waiting: Vec<u8>,
    over: bool,
    shut: bool,
    /// Whether anything was changed, but for where it is split.
    pub(crate) altered: bool,
    /// What was carried.
    pub(crate) carried: Vec<u8>,
}

/// A socket for an end, and the other side of it.
pub(crate) fn socket() -> (TcpStream, UnixStream) {
    let (end, here) = UnixStream::pair().expect("two sockets");
    for socket in [&end, &here] {
        socket.set_nonblocking(true).expect("it does not block");
    }
    let end = TcpStream::from_std(Plain::from(OwnedFd::from(end))).expect("a socket");
    (end, here)
}

impl Way {
    /// That says these bytes and listens to nothing.
    pub(crate) fn saying(bytes: Vec<u8>) -> Way {
        Way { waiting: bytes, over: true, ..Way::default() }
    }

    /// Takes the edits of both ways off the front.
    pub(crate) fn both(bytes: &mut &[u8]) -> [Way; 2] {
        let mut ways = [Way::default(), Way::default()];
        for _ in 0..EDITS_MAX.min(bytes.len() / 4) {
            let [what, high, low, amount] = [(); 4].map(|()| byte(bytes));
            let at = (usize::from(high) << 8 | usize::from(low)) % 2048;
            ways[usize::from(what >> 7)].edits.push(Edit { at, deed: what & 0x7f, amount });
        }
        ways
    }

    /// Carries what is there; answers whether anything was.
    pub(crate) fn carry(&mut self, from: &mut UnixStream, to: &mut UnixStream) -> bool {
        let mut room = [0; 4096];
        let mut moved = false;
        // One piece after the other, as they came.
        while !self.over && self.waiting.is_empty() {
            match from.read(&mut room) {
                Ok(0) => self.over = true,
                Ok(count) => self.alter(&room[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.over = true,
            }
            moved = true;
        }
        moved | self.send(to)
    }

    fn send(&mut self, to: &mut UnixStream) -> bool {
        let mut moved = false;
        while !self.waiting.is_empty() {
            match to.write(&self.waiting) {
                Ok(count) => {
                    self.carried.extend(self.waiting.drain(..count));
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                // Nobody listens any more.
                Err(_) => {
                    self.waiting.clear();
                    self.over = true;
                }
            }
        }
        if self.over && !self.shut {
            self.shut = true;
            moved = true;
            let _ = to.shutdown(Shutdown::Write);
        }
        moved
    }

    fn alter(&mut self, bytes: &[u8]) {
        for original in bytes {
            let mut byte = Some(*original);
            for edit in self.edits.iter().filter(|edit| edit.at == self.arrived) {
                let amount = usize::from(edit.amount);
                self.altered = true;
                match edit.deed % 6 {
                    0 => byte = byte.map(|byte| byte ^ edit.amount.max(1)),
                    1 => self.dropping = amount + 1,
                    2 => self.waiting.extend(vec![edit.amount; amount % 32 + 1]),
                    3 => self.waiting.extend(vec![*original; amount + 1]),
                    4 => byte = Some(edit.amount),
                    _ => {
                        self.over = true;
                        return;
                    }
                }
            }
            self.arrived += 1;
            if self.dropping > 0 {
                self.dropping -= 1;
            } else {
                self.waiting.extend(byte);
            }
        }
    }
}

/// Carries both ways until neither end has more to say, then ends both, and carries what they say
/// to that.
pub(crate) async fn stand_between(mut one: UnixStream, mut other: UnixStream, ways: &mut [Way; 2]) {
    let mut calm = 0;
    loop {
        let there = ways[0].carry(&mut one, &mut other);
        let back = ways[1].carry(&mut other, &mut one);
        calm = if there || back { 0 } else { calm + 1 };
        if calm == CALM_ROUNDS {
            if ways.iter().all(|way| way.shut) {
                return;
            }
            ways.iter_mut().for_each(|way| way.over = true);
        }
        yield_now().await;
    }
}

/// Says bytes to an end and hears what it says; answers what it took, and what it said.
pub(crate) async fn speak(mut here: UnixStream, bytes: Vec<u8>) -> (usize, Vec<u8>) {
    let (mut said, mut heard) = (Way::saying(bytes), Vec::new());
    let (mut calm, mut room) = (0, [0; 4096]);
    while calm < CALM_ROUNDS {
        let mut moved = said.send(&mut here);
        match here.read(&mut room) {
            Ok(0) => {}
            Ok(count) => {
                heard.extend(&room[..count]);
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        calm = if moved { 0 } else { calm + 1 };
        yield_now().await;
    }
    (said.carried.len(), heard)
}
