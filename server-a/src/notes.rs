//! What the coordinator has to say to people, as lines of the log.

use common::talk;
use common::wire::client::kept::{Fate, ResolvedRow};
use tracing::{debug, error, info, warn};

use crate::coordinator::action::Note;

/// Says one thing.
pub(crate) fn tell(note: &Note) {
    match note {
        Note::Conflict { path, loser, copy } => {
            info!(direction = %loser, %path, %copy, "conflict: kept this side's version of");
        }
        Note::Held(path, count) => info!(direction = "B→A", %path, held = count, "held an edit of"),
        Note::Drained(path, seq) => info!(direction = "B→A", %path, seq, "applied a held edit of"),
        Note::DiscardedHeld(path, seq) => {
            info!(direction = "B→A", %path, seq, "put a held edit in the trash, of");
        }
        Note::Locked(path, holder) => info!(%path, %holder, "locked"),
        Note::Unlocked { path, holder, forced_by: None } => info!(%path, %holder, "unlocked"),
        Note::Unlocked { path, holder, forced_by: Some(by) } => {
            warn!(%path, %holder, %by, "unlocked by force");
        }
        Note::Expired(path, holder) => info!(%path, %holder, "the lock's time is over:"),
        Note::Connected => info!("server B is connected"),
        Note::Away(why) => info!(%why, "server B is away"),
        Note::Waits(path, why) => info!(%path, %why, "waits"),
        Note::Halted(why) => {
            warn!(%why, "halted; `lab3 approve` goes on, `lab3 reject` restores");
        }
        Note::Resumed => info!("goes on"),
        Note::Settled { agreed, waiting } => debug!(agreed, waiting, "settled"),
        Note::Checked { found, identical: true } => debug!(%found, "compared both sides"),
        Note::Checked { found, identical: false } => {
            error!(why = %found, "both sides are not what they should be");
        }
        Note::Differs { path, detail } => error!(%path, why = %detail, "differs without a reason"),
        Note::Done(side, operation) => talk::did(*side, operation),
        Note::Restored(side, path) => info!(direction = %side, %path, "brought back from trash"),
        Note::Resolved(row) => resolved(row),
    }
}

fn resolved(row: &ResolvedRow) {
    let ResolvedRow { path, original, fate } = row;
    match fate {
        Fate::TakesName => info!(%path, to = %original, "conflict: gave the name back, from"),
        Fate::Trashed => info!(%path, "conflict: put in the trash"),
        Fate::Renamed(kept) => info!(%path, to = %kept, "conflict: kept both, renamed"),
        Fate::Left(why) => info!(%path, why = %why.message, "conflict: left as it is"),
    }
}
