//! How a server is told to stop: SIGTERM, Ctrl-C, or the end of its terminal.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Comes when the process is told to stop. Must be called within a tokio runtime.
pub fn signalled() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
