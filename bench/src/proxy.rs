//! A link that counts what passes: it stands between the servers and passes on every byte.
#![expect(clippy::disallowed_methods, reason = "sockets and threads")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes that are passed on at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A running proxy. Its threads end with their connections, or with the process.
pub(crate) struct Proxy {
    /// Where it waits for A.
    pub(crate) address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes on whatever dials in to this address.
    pub(crate) fn start(target: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let passed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passed);
        thread::spawn(move || {
            for incoming in listener.incoming() {
                let joined = incoming.and_then(|near| join(near, target, &counter));
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

fn join(near: TcpStream, target: SocketAddr, counter: &Arc<AtomicU64>) -> io::Result<()> {
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let counter = Arc::clone(counter);
        thread::spawn(move || pass(from, to, &counter));
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
