//! What lies between A and B: a link that a test can cut, let through, and record.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

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
    streams: Mutex<Vec<TcpStream>>,
    /// What A said, connection by connection.
    said: Mutex<Vec<Vec<u8>>>,
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
            streams: Mutex::default(),
            said: Mutex::default(),
        });
        let port = listener.local_addr().expect("an address").port();
        let ours = shared.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = TcpStream::connect(("127.0.0.1", ours.to));
                // Whoever finds the link closed finds nobody.
                let (true, Ok(to)) = (ours.is_open.load(Ordering::SeqCst), to) else { continue };
                ours.join(&from, &to);
            }
        });
        Proxy { port, shared }
    }

    /// Cuts what is connected, and lets nobody through.
    pub(crate) fn cut(&self) {
        self.shared.is_open.store(false, Ordering::SeqCst);
        self.shared.cut();
    }

    /// Lets through again.
    pub(crate) fn mend(&self) {
        self.shared.budget.store(u64::MAX, Ordering::SeqCst);
        self.shared.is_open.store(true, Ordering::SeqCst);
    }

    /// Cuts by itself, in the middle of a frame or not, when so many bytes more have passed; whoever
    /// dials then is let through.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.budget.store(bytes, Ordering::SeqCst);
    }

    /// How often the link was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// What A said in its first connection.
    pub(crate) fn said_first(&self) -> Vec<u8> {
        self.shared.said.lock().expect("not poisoned").first().cloned().unwrap_or_default()
    }
}

impl Shared {
    /// Takes bytes out of the budget; answers what it was before.
    fn take(&self, count: u64) -> u64 {
        let spend =
            |left: u64| Some(if left == u64::MAX { left } else { left.saturating_sub(count) });
        let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
        self.budget.fetch_update(set, get, spend).unwrap_or_default()
    }

    /// The budget is spent: the link is cut, once.
    fn is_over(&self) {
        let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.budget.compare_exchange(0, u64::MAX, set, get).is_ok() {
            self.cut();
        }
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        for stream in self.streams.lock().expect("not poisoned").drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn join(self: &Arc<Self>, from: &TcpStream, to: &TcpStream) {
        let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        self.streams.lock().expect("not poisoned").extend([copy(from), copy(to)]);
        let number = {
            let mut said = self.said.lock().expect("not poisoned");
            said.push(Vec::new());
            said.len() - 1
        };
        for (mut source, mut sink, heard) in
            [(copy(from), copy(to), Some(number)), (copy(to), copy(from), None)]
        {
            let shared = self.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 16 * 1024];
                while let Ok(count @ 1..) = source.read(&mut bytes) {
                    let left = shared.take(count as u64);
                    let passes = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                    if let Some(number) = heard {
                        let mut said = shared.said.lock().expect("not poisoned");
                        said[number].extend_from_slice(&bytes[..passes]);
                    }
                    if sink.write_all(&bytes[..passes]).is_err() {
                        break;
                    }
                    if passes < count {
                        shared.is_over();
                        break;
                    }
                }
                // The other end may be gone already.
                let _ = sink.shutdown(Shutdown::Both);
            });
        }
    }
}
