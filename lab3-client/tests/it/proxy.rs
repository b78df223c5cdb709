//! What lies between A and B: a link that a test can cut, stall, slow down, and record.
//!
//! A connection through it is a [`Wire`]: two threads, one for each way, that pass bytes on. A
//! [`Fault`] says what becomes of the next connection when so many bytes have passed one way;
//! [`Manner`] says how every later one passes them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::sleep;
use std::time::Duration;

use common::side::{PerSide, Side};
use common::wire::frame::PREFIX_BYTES;

const ORDER: Ordering = Ordering::SeqCst;
/// Bytes of one way of a connection that are kept.
const TAPE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Both ends hear the end of it.
    Finish,
    /// Both ends hear that it was reset.
    Reset,
    /// This way rests for a while, then goes on.
    Stall(Duration),
    /// This way ends, and the other one goes on.
    HalfClose,
    /// What is said this way arrives nowhere, from now on.
    Mute,
    /// Nothing is taken from the speaker of this way any more.
    Deaf,
    /// What either says arrives nowhere, and neither hears of it.
    Vanish,
}

/// What is to happen to one connection, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Towards which side.
    pub(crate) toward: Side,
    /// When so many bytes have passed that way.
    pub(crate) at: u64,
    pub(crate) act: Act,
}

/// How bytes pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// At most so many at once; all that there are when zero.
    pub(crate) chunk: usize,
    /// A rest after each of them.
    pub(crate) rest: Duration,
    /// Whether every frame but the first passes twice.
    pub(crate) twice: bool,
}

/// A link from a port of its own to B.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    is_open: AtomicBool,
    /// Bytes that may still pass before the link is cut.
    budget: AtomicU64,
    cuts: AtomicU64,
    struck: AtomicU64,
    fault: Mutex<Option<Fault>>,
    /// Said again on the next connection, to this side, after its first frame.
    again: Mutex<Option<(Side, Vec<u8>)>>,
    manner: Mutex<PerSide<Manner>>,
    wires: Mutex<Vec<Weak<Wire>>>,
    /// What was said to each side, connection by connection.
    tapes: Mutex<Vec<PerSide<Vec<u8>>>>,
}

struct Wire {
    number: usize,
    /// The sockets that lead to the sides.
    ends: PerSide<TcpStream>,
    fault: Mutex<Option<Fault>>,
    again: Mutex<Option<(Side, Vec<u8>)>>,
    is_over: AtomicBool,
    has_vanished: AtomicBool,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

impl Proxy {
    /// A link to a port of this machine.
    pub(crate) fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared {
            to: port,
            is_open: AtomicBool::new(true),
            budget: AtomicU64::new(u64::MAX),
            cuts: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            fault: Mutex::default(),
            again: Mutex::default(),
            manner: Mutex::default(),
            wires: Mutex::default(),
            tapes: Mutex::default(),
        });
        let port = listener.local_addr().expect("an address").port();
        let ours = shared.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = TcpStream::connect(("127.0.0.1", ours.to));
                // Whoever finds the link closed finds nobody.
                let (true, Ok(to)) = (ours.is_open.load(ORDER), to) else { continue };
                ours.join(PerSide { a: from, b: to });
            }
        });
        Proxy { port, shared }
    }

    /// Cuts what is connected, and lets nobody through.
    pub(crate) fn cut(&self) {
        self.shared.is_open.store(false, ORDER);
        self.shared.cut();
    }

    /// Cuts what is connected; who dials then is let through.
    pub(crate) fn drop_all(&self) {
        self.shared.cut();
    }

    /// Lets through again.
    pub(crate) fn mend(&self) {
        self.shared.budget.store(u64::MAX, ORDER);
        self.shared.is_open.store(true, ORDER);
    }

    /// Cuts by itself, in the middle of a frame or not, when so many bytes more have passed; who
    /// dials then is let through.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.budget.store(bytes, ORDER);
    }

    /// How often the link was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(ORDER)
    }

    /// What becomes of the next connection.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        *locked(&self.shared.fault) = fault;
    }

    /// What becomes of the connection that stands, counted from now.
    pub(crate) fn strike(&self, fault: Fault) {
        let number = self.connections() - 1;
        let passed = locked(&self.shared.tapes)[number][fault.toward].len() as u64;
        let fault = Fault { at: passed + fault.at, ..fault };
        for wire in self.shared.live() {
            *locked(&wire.fault) = Some(fault);
        }
    }

    /// How many faults have happened.
    pub(crate) fn struck(&self) -> u64 {
        self.shared.struck.load(ORDER)
    }

    /// How every connection passes bytes to a side, from now on.
    pub(crate) fn set_manner(&self, toward: Side, manner: Manner) {
        locked(&self.shared.manner)[toward] = manner;
    }

    /// On the next connection, the last frames that a side heard on this one are said again.
    pub(crate) fn repeat(&self, toward: Side, frames: usize) {
        let tape = self.tape(self.connections() - 1, toward);
        let bounds = bounds(&tape);
        let last = *bounds.last().unwrap_or(&0);
        // The first frame is the hello, which no connection has twice.
        let from = bounds.len().saturating_sub(frames + 1).max(1);
        let from = bounds.get(from.min(bounds.len().saturating_sub(1))).copied().unwrap_or(last);
        *locked(&self.shared.again) = Some((toward, tape[from..last].to_vec()));
    }

    /// How many bytes have passed to a side on the connection that stands.
    pub(crate) fn passed(&self, toward: Side) -> u64 {
        locked(&self.shared.tapes).last().map_or(0, |tapes| tapes[toward].len() as u64)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        locked(&self.shared.tapes).len()
    }

    /// What was said to a side on a connection.
    pub(crate) fn tape(&self, number: usize, toward: Side) -> Vec<u8> {
        locked(&self.shared.tapes)[number][toward].clone()
    }

    /// What A said in its first connection.
    pub(crate) fn said_first(&self) -> Vec<u8> {
        if self.connections() == 0 { Vec::new() } else { self.tape(0, Side::B) }
    }
}

/// Where what was encrypted at once ends, after nothing first.
pub(crate) fn records(tape: &[u8]) -> Vec<usize> {
    /// A type, a version, a length.
    const HEAD_BYTES: usize = 5;
    let mut records = vec![0];
    let mut at = 0;
    while let Some([_, _, _, high, low]) = tape.get(at..at + HEAD_BYTES) {
        at += HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
        if at > tape.len() {
            break;
        }
        records.push(at);
    }
    records
}

/// Where frames end, after nothing first; of a tape that is not encrypted.
pub(crate) fn bounds(tape: &[u8]) -> Vec<usize> {
    let mut bounds = vec![0];
    let mut at = 0;
    while let Some(prefix) = tape.get(at..at + PREFIX_BYTES) {
        at += PREFIX_BYTES + u32::from_be_bytes(prefix.try_into().expect("four")) as usize;
        if at > tape.len() {
            break;
        }
        bounds.push(at);
    }
    bounds
}

impl Shared {
    /// Takes bytes out of the budget; answers what it was before.
    fn take(&self, count: u64) -> u64 {
        let spend =
            |left: u64| Some(if left == u64::MAX { left } else { left.saturating_sub(count) });
        self.budget.fetch_update(ORDER, ORDER, spend).unwrap_or_default()
    }

    /// The budget is spent: the link is cut, once.
    fn is_spent(&self) {
        if self.budget.compare_exchange(0, u64::MAX, ORDER, ORDER).is_ok() {
            self.cut();
        }
    }

    fn live(&self) -> Vec<Arc<Wire>> {
        locked(&self.wires).iter().filter_map(Weak::upgrade).collect()
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, ORDER);
        let wires = self.live();
        locked(&self.wires).clear();
        wires.iter().for_each(|wire| wire.finish());
    }

    fn join(self: &Arc<Self>, ends: PerSide<TcpStream>) {
        let number = {
            let mut tapes = locked(&self.tapes);
            // Only the first and the last connections are ever asked for.
            if let Some(old) = tapes.len().checked_sub(3).filter(|old| *old > 0) {
                tapes[old] = PerSide::default();
            }
            tapes.push(PerSide::default());
            tapes.len() - 1
        };
        let wire = Arc::new(Wire {
            number,
            ends,
            fault: Mutex::new(locked(&self.fault).take()),
            again: Mutex::new(locked(&self.again).take()),
            is_over: AtomicBool::new(false),
            has_vanished: AtomicBool::new(false),
            shared: self.clone(),
        });
        let mut wires = locked(&self.wires);
        wires.retain(|wire| wire.strong_count() > 0);
        wires.push(Arc::downgrade(&wire));
        drop(wires);
        for toward in Side::BOTH {
            let wire = wire.clone();
            std::thread::spawn(move || wire.pump(toward));
        }
    }
}

impl Wire {
    /// Passes on what is said to a side, until there is no more.
    fn pump(&self, toward: Side) {
        let mut bytes = vec![0; 16 * 1024];
        let mut whole = Vec::new();
        let mut goes_on = self.strike(toward);
        while goes_on {
            let manner = locked(&self.shared.manner)[toward];
            let most = if manner.chunk == 0 { bytes.len() } else { manner.chunk };
            let Ok(count @ 1..) = (&self.ends[toward.other()]).read(&mut bytes[..most]) else {
                break;
            };
            let by_frames = manner.twice || locked(&self.again).is_some() || !whole.is_empty();
            goes_on = if by_frames {
                whole.extend_from_slice(&bytes[..count]);
                self.pass_frames(toward, &mut whole, manner)
            } else {
                self.pass(toward, &bytes[..count])
            };
            sleep(manner.rest);
        }
        if !self.has_vanished.load(ORDER) {
            // The other end may be gone already.
            let _ = self.ends[toward].shutdown(Shutdown::Write);
        }
        self.is_over.store(true, ORDER);
    }

    /// Passes the frames that are whole, each once or twice, and after the first what is to be
    /// said again.
    fn pass_frames(&self, toward: Side, whole: &mut Vec<u8>, manner: Manner) -> bool {
        let bounds = bounds(whole);
        let first = locked(&self.shared.tapes)[self.number][toward].is_empty();
        for (at, ends) in bounds.windows(2).enumerate() {
            let frame = &whole[ends[0]..ends[1]];
            let is_first = first && at == 0;
            let copies = if manner.twice && !is_first { 2 } else { 1 };
            for _ in 0..copies {
                if !self.pass(toward, frame) {
                    return false;
                }
            }
            let again = locked(&self.again).take_if(|(side, _)| *side == toward && is_first);
            if let Some((_, said)) = again
                && !self.pass(toward, &said)
            {
                return false;
            }
        }
        whole.drain(..*bounds.last().unwrap_or(&0));
        true
    }

    /// Passes bytes on; answers whether more may follow.
    fn pass(&self, toward: Side, bytes: &[u8]) -> bool {
        if self.has_vanished.load(ORDER) {
            return true;
        }
        let left = self.shared.take(bytes.len() as u64);
        let passes = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut rest = &bytes[..passes];
        while !rest.is_empty() {
            let room = locked(&self.fault).filter(|fault| fault.toward == toward).map(|fault| {
                let tapes = locked(&self.shared.tapes);
                fault.at.saturating_sub(tapes[self.number][toward].len() as u64)
            });
            let now = rest.len().min(room.map_or(usize::MAX, |room| room.max(1) as usize));
            if (&self.ends[toward]).write_all(&rest[..now]).is_err() {
                return false;
            }
            self.record(toward, &rest[..now]);
            rest = &rest[now..];
            if !self.strike(toward) {
                return false;
            }
        }
        if passes < bytes.len() {
            self.shared.is_spent();
            return false;
        }
        true
    }

    fn record(&self, toward: Side, bytes: &[u8]) {
        let mut tapes = locked(&self.shared.tapes);
        let tape = &mut tapes[self.number][toward];
        if tape.len() < TAPE_BYTES_MAX {
            tape.extend_from_slice(bytes);
        }
    }

    /// Does what is to happen now, if anything; answers whether bytes may go on to pass this way.
    fn strike(&self, toward: Side) -> bool {
        let passed = locked(&self.shared.tapes)[self.number][toward].len() as u64;
        let due = |fault: &mut Fault| fault.toward == toward && fault.at <= passed;
        let Some(fault) = locked(&self.fault).take_if(due) else { return true };
        match fault.act {
            Act::Finish => self.finish(),
            Act::Reset => self.reset(),
            Act::HalfClose => drop(self.ends[toward].shutdown(Shutdown::Write)),
            Act::Vanish => self.has_vanished.store(true, ORDER),
            Act::Stall(_) | Act::Mute | Act::Deaf => {}
        }
        self.shared.struck.fetch_add(1, ORDER);
        match fault.act {
            Act::Stall(time) => {
                sleep(time);
                return true;
            }
            Act::HalfClose | Act::Mute => {
                let mut source = &self.ends[toward.other()];
                let _ = std::io::copy(&mut source, &mut std::io::sink());
            }
            Act::Deaf => {
                while !self.is_over.load(ORDER) {
                    sleep(Duration::from_millis(10));
                }
            }
            Act::Vanish => return true,
            Act::Finish | Act::Reset => {}
        }
        false
    }

    fn finish(&self) {
        self.is_over.store(true, ORDER);
        for end in [&self.ends.a, &self.ends.b] {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Both threads let go of the sockets, and a socket that does not linger is reset.
    fn reset(&self) {
        self.has_vanished.store(true, ORDER);
        for end in [&self.ends.a, &self.ends.b] {
            let _ = rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO));
            let _ = end.shutdown(Shutdown::Read);
        }
    }
}
