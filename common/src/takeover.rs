//! Taking over from a process that was killed a moment ago.
//!
//! A process is not gone when it has been sent its end: a thread of it may still wait for the disk,
//! and watches are given back before what is closed after them. Until its parent has heard of the
//! end, locks and addresses are held by nobody who could use them, and who starts at once waits.
#![expect(clippy::disallowed_methods, reason = "it waits, and opens the socket")]

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

/// So long somebody who holds what we need may be a process that has ended, in milliseconds.
const PATIENCE_MS: u64 = 2_000;
const PAUSE_MS: u64 = 10;

/// Tries until nobody holds it any more, for two seconds at most. Blocks.
///
/// # Errors
///
/// The last attempt's.
pub fn wait_for<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_held(&error) && is_early(began) => {
                thread::sleep(Duration::from_millis(PAUSE_MS));
            }
            result => return result,
        }
    }
}

/// Listens at an address, as soon as nobody else does.
///
/// # Errors
///
/// When it cannot be listened at, or somebody else still does after two seconds.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let began = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_early(began) => {
                tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            result => return result,
        }
    }
}

fn is_early(began: Instant) -> bool {
    began.elapsed() < Duration::from_millis(PATIENCE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_and_other_errors_are_told_at_once() {
        let mut left = 3;
        let attempt = || {
            left -= 1;
            if left == 0 { Ok("mine") } else { Err("held") }
        };
        assert_eq!(wait_for(attempt, |error| *error == "held"), Ok("mine"));
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            Err::<(), _>("broken")
        };
        assert_eq!(wait_for(attempt, |error| *error == "held"), Err("broken"));
        assert_eq!(attempts, 1);
    }
}
