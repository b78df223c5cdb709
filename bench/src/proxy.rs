//! A link that counts what passes: it stands between the servers and passes on every byte, at once
//! or as a slow link would.
#![expect(clippy::disallowed_methods, reason = "sockets, threads, and time")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::shape::{Pipe, Shape};

/// Bytes that are passed on at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// … and by a slow link: so little that its rate is even.
const PACKET_BYTES: usize = 1500;

/// A running proxy. Its threads end with their connections, or with the process.
pub(crate) struct Proxy {
    /// Where it waits for A.
    pub(crate) address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes on whatever dials in to this address.
    pub(crate) fn start(target: SocketAddr, shape: Option<Shape>) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let passed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passed);
        thread::spawn(move || {
            for incoming in listener.incoming() {
                let joined = incoming.and_then(|near| join(near, target, shape, &counter));
                // Whoever dialled will dial again.
                drop(joined);
            }
        });
        Ok(Proxy { address, passed })
    }

    /// Bytes that have passed so far, both ways together.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn join(
    near: TcpStream,
    target: SocketAddr,
    shape: Option<Shape>,
    counter: &Arc<AtomicU64>,
) -> io::Result<()> {
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let counter = Arc::clone(counter);
        thread::spawn(move || match shape {
            None => pass(from, to, &counter),
            Some(shape) => {
                let (bytes, given) = channel();
                thread::spawn(move || come_out(to, shape, &given));
                go_in(from, shape, &bytes, &counter);
            }
        });
    }
    Ok(())
}

/// One way of a connection, until one end has had enough.
fn pass(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

/// Reads no faster than the link takes it.
fn go_in(mut from: TcpStream, shape: Shape, bytes: &Sender<Vec<u8>>, counter: &AtomicU64) {
    let mut buffer = vec![0; PACKET_BYTES];
    let mut free = Instant::now();
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
        if bytes.send(buffer[..count].to_vec()).is_err() {
            break;
        }
        free = free.max(Instant::now()) + Duration::from_secs_f64(shape.taking(count as u64));
        thread::sleep(free.saturating_duration_since(Instant::now()));
    }
}

/// Writes what has gone in when it comes out.
fn come_out(mut to: TcpStream, shape: Shape, given: &Receiver<Vec<u8>>) {
    let began = Instant::now();
    let now = || began.elapsed().as_secs_f64();
    let mut pipe = Pipe::new(shape);
    loop {
        let wait = pipe.next().map_or(f64::from(u32::MAX), |next| (next - now()).max(0.0));
        match given.recv_timeout(Duration::from_secs_f64(wait)) {
            Ok(bytes) => {
                pipe.give(now(), bytes);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if pipe.next().is_none() => break,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(Duration::from_secs_f64(wait));
            }
        }
        while let Some(bytes) = pipe.take(now()) {
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
