//! How a server is told to stop: SIGTERM, Ctrl-C, or the end of its terminal; and that it does not
//! go on when a part of it has ended by a bug.

use std::future::Future;
use std::io;
use std::panic::{set_hook, take_hook};

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

/// The exit code of a server that found a bug in itself.
const BUG: i32 = 101;

/// From now on a panic of any thread is said and ends the process at once. What a kill leaves is in
/// order; a server without one of its threads would answer nobody, and look as if it were well.
pub fn end_on_panic() {
    let say = take_hook();
    set_hook(Box::new(move |panic| {
        say(panic);
        crate::sys::end_now(BUG);
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "LAB3_TEST_PANIC";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process of its own, and its threads")]
    fn a_thread_that_panics_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            end_on_panic();
            let thread = std::thread::spawn(|| panic!("a bug"));
            let _ = thread.join();
            return;
        }
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        again.args([
            "--exact",
            "stop::tests::a_thread_that_panics_ends_the_process",
            "--nocapture",
        ]);
        let ended = again.env(CHILD, "1").output().expect("it ran");
        assert_eq!(ended.status.code(), Some(BUG), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("a bug"), "{ended:?}");
    }
}
