//! Answers the other end's questions for content, on threads of their own, in the bulk lane.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::exchange::packing::{is_far, pack};
use crate::limits::ASKS_MAX;
use crate::wire::connection::Outgoing;
use crate::wire::message::{Ask, Give, Given, PeerMessage};

/// Threads that read for the other end: one may wait for a slow disk while the other goes on.
const THREADS: usize = 2;

/// Where answers go; says whether there may be more.
pub type Tell<'t> = &'t mut dyn FnMut(Given) -> bool;

/// Reads content of this end's tree: tells all parts of the answer to a question.
pub type Read = Arc<dyn Fn(&Ask, Tell<'_>) + Send + Sync>;

type Job = (Ask, Outgoing<PeerMessage>);

/// How many questions wait for an answer.
type Waiting = Arc<AtomicUsize>;

/// The threads that give.
pub struct Giver {
    jobs: Sender<Job>,
    waiting: Waiting,
    _threads: Vec<JoinHandle<()>>,
}

impl Giver {
    /// Starts the threads. They end when this is dropped and all questions are answered.
    pub fn start(read: Read) -> std::io::Result<Giver> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let waiting = Waiting::default();
        let threads: Result<Vec<_>, _> = (0..THREADS)
            .map(|_| {
                let (queue, read, waiting) = (queue.clone(), read.clone(), waiting.clone());
                Builder::new().name("giver".into()).spawn(move || give(&queue, &read, &waiting))
            })
            .collect();
        Ok(Giver { jobs, waiting, _threads: threads? })
    }

    /// Answers a question on the link over which it came. Says no when so many wait that whoever
    /// asks cannot mean it.
    pub fn answer(&self, ask: Ask, link: &Outgoing<PeerMessage>) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= ASKS_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        // The threads outlive every sender, so this cannot fail.
        let _ = self.jobs.send((ask, link.clone()));
        true
    }
}

fn give(queue: &Mutex<Receiver<Job>>, read: &Read, waiting: &AtomicUsize) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((ask, link)) = job else { return };
        waiting.fetch_sub(1, Ordering::Relaxed);
        if link.is_closed() {
            continue;
        }
        // What is known of the way comes from earlier answers.
        link.measure();
        let is_far = is_far(link.least_round());
        read(&ask, &mut |given| {
            let given = if is_far { pack(given) } else { given };
            let give = PeerMessage::Give(Give { id: ask.id, given });
            link.blocking_send_bulk(&give).is_ok()
        });
    }
}
