//! Who may ask for what, and in whose name locks are held. Pure.

use common::identity::trusted::{Grant, Standing};
use common::wire::client::{Refusal, RefusalKind, Request};

/// The least role that may ask for this.
#[must_use]
pub fn needs(request: &Request) -> Standing {
    match request {
        Request::List
        | Request::Locks
        | Request::Held { .. }
        | Request::Status { .. }
        | Request::Wait { .. }
        | Request::Verify { deep: false, .. }
        | Request::Log(_)
        | Request::Trash { .. }
        | Request::Conflicts => Standing::Reader,
        // A scrub and a deep check change nothing, but keep both disks busy.
        Request::Scrub
        | Request::Verify { deep: true, .. }
        | Request::Lock { .. }
        | Request::Unlock { .. }
        | Request::Approve
        | Request::Reject
        | Request::Restore(_)
        | Request::Resolve(_) => Standing::Client,
    }
}

/// Lets a request pass, or says why not.
///
/// # Errors
///
/// The answer.
pub fn check(request: &Request, grant: &Grant) -> Result<(), Refusal> {
    let least = needs(request);
    if grant.standing >= least {
        return Ok(());
    }
    let Grant { id, standing, .. } = grant;
    Err(Refusal {
        kind: RefusalKind::Refused,
        message: format!("this takes the role `{least}`, and {id} has the role `{standing}`"),
        hint: Some(format!("who runs server A can grant it: `lab3 trust {id} --role {least}`")),
    })
}

/// What somebody hears who has too many connections.
#[must_use]
pub fn too_many(most: usize) -> Refusal {
    Refusal {
        kind: RefusalKind::Refused,
        message: format!("one identity may have {most} connections at once"),
        hint: Some("wait until others of yours have ended".to_owned()),
    }
}

/// In whose name somebody locks: ours for our own identity, else the name that was given to it.
#[must_use]
pub fn holder(grant: &Grant, ourselves: &str) -> String {
    if grant.standing == Standing::Own {
        return ourselves.to_owned();
    }
    // Nobody is called as we are.
    let name = grant.name.as_ref().filter(|name| *name != ourselves);
    name.cloned().unwrap_or_else(|| grant.id.to_string())
}
