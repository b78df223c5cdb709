//! Somebody who reads one file all the time: he finds it whole, in a version that was written,
//! and never finds it gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// A reader at work.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Reader {
    pub(crate) fn start(path: PathBuf, written: Arc<Mutex<BTreeSet<Vec<u8>>>>) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                let shown = path.display();
                let content = fs::read(&path).map_err(|e| format!("{shown} is gone: {e}"))?;
                if !written.lock().expect("no panic").contains(&content) {
                    return Err(format!("{shown}: {} bytes by nobody", content.len()));
                }
                sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        Reader { stop, thread: Some(thread) }
    }

    /// Ends it; fails with what it found.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it is stopped once");
        if let Err(found) = thread.join().expect("it reads") {
            panic!("a reader: {found}");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
