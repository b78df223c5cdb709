//! Questions for content that are on their way, and what to do with the answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::exchange::packing::unpack;
use crate::path::RelPath;
use crate::wire::connection::Outgoing;
use crate::wire::message::{Ask, AskId, Give, Given, PeerMessage, Want};

/// What to do with an answer. `None`: the link is lost, there will be none.
pub type Answered = Box<dyn FnMut(Option<Given>) + Send>;

/// The questions of this end. One for the whole life of a server; links come and go.
#[derive(Default)]
pub struct Asker {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    link: Option<Outgoing<PeerMessage>>,
    open: BTreeMap<AskId, Answered>,
    next: u64,
}

impl Asker {
    /// A link stands: questions go there.
    pub fn connect(&self, link: Outgoing<PeerMessage>) {
        self.disconnect();
        self.lock().link = Some(link);
    }

    /// The link is lost: every open question ends without an answer.
    pub fn disconnect(&self) {
        let open = {
            let mut inner = self.lock();
            inner.link = None;
            std::mem::take(&mut inner.open)
        };
        for mut answered in open.into_values() {
            answered(None);
        }
    }

    /// Asks. `answered` is called for every part of the answer, on the thread that reads the link:
    /// it must only pass on.
    pub fn ask(&self, path: &RelPath, digest: Digest, want: Want, mut answered: Answered) {
        let mut inner = self.lock();
        inner.next += 1;
        let id = AskId(inner.next);
        let ask = PeerMessage::Ask(Ask { id, path: path.clone(), digest, want });
        let sent = inner.link.as_ref().is_some_and(|link| link.send(&ask).is_ok());
        if sent {
            inner.open.insert(id, answered);
        } else {
            drop(inner);
            answered(None);
        }
    }

    /// An answer arrived. One that nobody asked for is ignored.
    pub fn take(&self, give: Give) {
        let more = matches!(give.given, Given::Recipe { last: false, .. });
        let Some(mut answered) = self.lock().open.remove(&give.id) else { return };
        answered(Some(unpack(give.given)));
        if more {
            self.lock().open.insert(give.id, answered);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
