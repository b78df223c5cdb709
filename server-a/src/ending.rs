//! The end of server A: what was agreed on is saved while B is still heard, then all stops.
#![expect(clippy::disallowed_methods, reason = "it waits for threads")]

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use common::exchange::asker::Asker;
use common::replica::service::Replica;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::peer::Link;

/// How long B may take, at the end, to make durable what was agreed on last.
const SAVE_TIME: Duration = Duration::from_secs(5);

/// Waits for the end of these threads, which save all that was agreed on, then ends all else.
pub(crate) async fn wind_up(
    threads: [JoinHandle<()>; 3],
    link: &Link,
    mut dialled: JoinSet<Infallible>,
    asker: &Asker,
    replica: Arc<Replica>,
) -> Result<()> {
    link.be_last();
    // A thread that panicked has said why; there is nothing left to stop.
    let mut saved = spawn_blocking(move || threads.into_iter().for_each(|one| drop(one.join())));
    // B is heard until all is saved: what was agreed on counts only when B's files are durable.
    if timeout(SAVE_TIME, &mut saved).await.is_err() {
        link.close();
        saved.await.context("cannot save at the end")?;
    }
    // Only then nothing is asked any more that nobody would hear the answer to.
    dialled.shutdown().await;
    asker.disconnect();
    spawn_blocking(move || replica.stop()).await.context("cannot stop cleanly")
}
