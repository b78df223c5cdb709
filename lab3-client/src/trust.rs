//! `lab3 id` and `lab3 trust`: who we are, and who may connect. They ask no server.

use common::identity::Identity;
use common::identity::book::BookError;
use common::identity::id::Id;
use common::identity::trusted::{Grant, Standing, check_name};
use serde::Serialize;

use crate::cli::{RoleArg, TrustArgs};
use crate::failure::{Failure, chain};
use crate::json;
use crate::table::{Column, render, words};
use crate::words::safe;

const COLUMNS: &[Column] = &[words("id"), words("role"), words("name")];

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    role: String,
    name: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(grant: &'a Grant) -> Shown<'a> {
        let (id, role) = (grant.id.to_string(), grant.standing.to_string());
        Shown { id, role, name: grant.name.as_deref() }
    }
}

#[derive(Serialize)]
struct Trusted<'a> {
    trusted: Vec<Shown<'a>>,
}

impl From<BookError> for Failure {
    fn from(error: BookError) -> Failure {
        let hint = matches!(error, BookError::Line { .. })
            .then(|| "mend or remove that line in an editor".to_owned());
        Failure { hint, ..Failure::refused(chain(&error), "") }
    }
}

impl From<RoleArg> for Standing {
    fn from(role: RoleArg) -> Standing {
        match role {
            RoleArg::Reader => Standing::Reader,
            RoleArg::Client => Standing::Client,
            RoleArg::Peer => Standing::Peer,
        }
    }
}

/// The id of this identity.
#[must_use]
pub fn id(identity: &Identity, as_json: bool) -> String {
    let id = identity.id().to_string();
    if as_json { json::line(&std::collections::BTreeMap::from([("id", id)])) } else { id + "\n" }
}

/// Lists, grants or takes away; answers what to print.
pub fn trust(identity: &Identity, args: &TrustArgs, as_json: bool) -> Result<String, Failure> {
    if let Some(whom) = &args.remove {
        return remove(identity, whom, as_json);
    }
    match &args.id {
        Some(id) => grant(identity, id, args, as_json),
        None => list(identity, as_json),
    }
}

fn list(identity: &Identity, as_json: bool) -> Result<String, Failure> {
    let grants = identity.grants()?;
    if as_json {
        let trusted = grants.iter().map(Shown::of).collect();
        return Ok(json::line(&Trusted { trusted }));
    }
    let cells = |grant: &Grant| {
        let name = grant.name.clone().unwrap_or_else(|| "-".to_owned());
        vec![grant.id.to_string(), grant.standing.to_string(), name]
    };
    Ok(render(COLUMNS, &grants.iter().map(cells).collect::<Vec<_>>()))
}

fn grant(
    identity: &Identity,
    text: &str,
    args: &TrustArgs,
    as_json: bool,
) -> Result<String, Failure> {
    let id = Id::parse(text).map_err(|error| {
        Failure::refused(format!("`{}`: {error}", safe(text)), "`lab3 id` prints it, over there")
    })?;
    if id == *identity.id() {
        let hint = "every program with this identity may do everything already";
        return Err(Failure::refused("that is your own id", hint));
    }
    if let Some(name) = &args.name {
        check_name(name).map_err(|why| Failure::refused(why, "give it another name"))?;
    }
    // What is not said stays as it is.
    let old = identity.grant(&id)?;
    let standing = args.role.map(Standing::from);
    let standing = standing.or(old.as_ref().map(|old| old.standing)).unwrap_or(Standing::Client);
    let name = args.name.clone().or_else(|| old.and_then(|old| old.name));
    let grant = Grant { id, standing, name };
    identity.trust(&grant)?;
    if as_json {
        return Ok(json::line(&Trusted { trusted: vec![Shown::of(&grant)] }));
    }
    let may = match standing {
        Standing::Reader => "may list files and ask how things are",
        Standing::Client => "may list, lock, unlock, decide and restore, but not synchronize",
        Standing::Peer | Standing::Own => "may do everything: it is a server at the other end",
    };
    Ok(format!("{} {may} (role `{standing}`)\n", safe(&grant.called())))
}

fn remove(identity: &Identity, whom: &str, as_json: bool) -> Result<String, Failure> {
    let grants = identity.grants()?;
    let id = Id::parse(whom).ok();
    let is_meant = |grant: &&Grant| Some(grant.id) == id || grant.name.as_deref() == Some(whom);
    let Some(grant) = grants.iter().find(is_meant) else {
        let message = format!("nobody is trusted as `{}`", safe(whom));
        return Err(Failure::refused(message, "`lab3 trust --list` shows who is"));
    };
    identity.distrust(&grant.id)?;
    let line = format!("{} is trusted no longer", safe(&grant.called()));
    Ok(if as_json { json::done(&line) } else { line + "\n" })
}
