//! Whom an identity trusts, and with what: the text of a file that a person may edit.
//!
//! One line each, `ID ROLE [NAME]`; a `#` begins a comment. A line that cannot be read makes the
//! whole file an error that names it: nothing is ever understood as more trust than was written.

use std::fmt;

use crate::identity::id::Id;
use crate::path::escape;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// What a new file begins with.
const HEAD: &str =
    "# Who may connect: one line each, `ID ROLE [NAME]`. Roles: `reader` lists and asks;
# `client` locks, unlocks and decides, too; `peer` is a server, and may do everything.
";

/// What an identity may do. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// List, and ask how things are.
    Reader,
    /// Lock, unlock, decide, restore.
    Client,
    /// Synchronize: be the server at the other end.
    Peer,
    /// Everything: it is the same identity.
    Own,
}

impl Standing {
    /// The role with this name, if it is one that can be given.
    #[must_use]
    pub fn parse(word: &str) -> Option<Standing> {
        match word {
            "reader" => Some(Standing::Reader),
            "client" => Some(Standing::Client),
            "peer" => Some(Standing::Peer),
            _ => None,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Reader => "reader",
            Standing::Client => "client",
            Standing::Peer => "peer",
            Standing::Own => "own",
        })
    }
}

/// What one identity was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub id: Id,
    /// What.
    pub standing: Standing,
    /// What it is called here.
    pub name: Option<String>,
}

impl Grant {
    /// What it is called: its name, or its id.
    #[must_use]
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }

    fn line(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {} {name}", self.id, self.standing),
            None => format!("{} {}", self.id, self.standing),
        }
    }
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LineError {
    /// Which, from one on.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Whether somebody may be called so.
///
/// # Errors
///
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_plain = escape(name.as_bytes()) == name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    if !is_plain || name.contains(|c: char| c.is_whitespace() || c == '#') {
        return Err("a name has no blanks, control characters, `\\` or `#`".to_owned());
    }
    if name.starts_with('-') || Id::parse(name).is_ok() {
        return Err("a name begins with no dash, and is not an id".to_owned());
    }
    Ok(())
}

/// Reads the file's text.
pub fn parse(text: &str) -> Result<Vec<Grant>, LineError> {
    let mut grants: Vec<Grant> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(grant) = grant_of(line).map_err(|why| LineError { line: at + 1, why })? else {
            continue;
        };
        let twin = grants.iter().find_map(|other| {
            let same_name = grant.name.is_some() && other.name == grant.name;
            (other.id == grant.id).then_some("id").or(same_name.then_some("name"))
        });
        if let Some(what) = twin {
            let why = format!("its {what} stands in an earlier line, too");
            return Err(LineError { line: at + 1, why });
        }
        grants.push(grant);
    }
    Ok(grants)
}

fn grant_of(line: &str) -> Result<Option<Grant>, String> {
    let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
    let (id, role, name) = match words[..] {
        [] => return Ok(None),
        [id, role] => (id, role, None),
        [id, role, name] => (id, role, Some(name)),
        _ => return Err("a line is `ID ROLE [NAME]`".to_owned()),
    };
    let id = Id::parse(id).map_err(|error| error.to_string())?;
    let standing = Standing::parse(role)
        .ok_or_else(|| format!("`{}` is no role: reader, client, peer", escape(role.as_bytes())))?;
    name.map_or(Ok(()), check_name)?;
    Ok(Some(Grant { id, standing, name: name.map(str::to_owned) }))
}

/// The text with this grant instead of what the same identity had. All other lines stay.
#[must_use]
pub fn with(text: &str, grant: &Grant) -> String {
    let mut found = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if matches!(grant_of(line), Ok(Some(old)) if old.id == grant.id) {
            found = true;
            let comment = line.split_once('#').map(|(_, comment)| format!(" #{comment}"));
            lines.push(grant.line() + &comment.unwrap_or_default());
        } else {
            lines.push(line.to_owned());
        }
    }
    if !found {
        if text.is_empty() {
            lines.extend(HEAD.lines().map(str::to_owned));
        }
        lines.push(grant.line());
    }
    lines.join("\n") + "\n"
}

/// The text without this identity's line. All other lines stay.
#[must_use]
pub fn without(text: &str, id: &Id) -> String {
    let is_theirs = |line: &str| matches!(grant_of(line), Ok(Some(grant)) if grant.id == *id);
    text.lines().filter(|line| !is_theirs(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(byte: u8, standing: Standing, name: Option<&str>) -> Grant {
        Grant { id: Id::of(&[byte; 32]), standing, name: name.map(str::to_owned) }
    }

    #[test]
    fn what_was_written_is_read_and_comments_stay() {
        let ann = grant(1, Standing::Client, Some("ann@mill"));
        let bob = grant(2, Standing::Peer, None);
        let text = with(&with("", &ann), &bob);
        assert_eq!(parse(&text), Ok(vec![ann.clone(), bob.clone()]), "{text}");
        let commented = format!("# mine\n\n  {}\t# since spring\n", text.trim_end());
        assert_eq!(parse(&commented), Ok(vec![ann.clone(), bob.clone()]), "{commented}");
        let more = grant(2, Standing::Reader, Some("bob"));
        let changed = with(&commented, &more);
        assert_eq!(parse(&changed), Ok(vec![ann.clone(), more]));
        assert!(changed.contains("# mine") && changed.contains(" # since spring"), "{changed}");
        let left = without(&changed, &bob.id);
        assert_eq!(parse(&left), Ok(vec![ann]));
        assert!(left.contains("# mine"));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_nothing_is_granted() {
        let (ann, bob) = (Id::of(&[1; 32]).to_string(), Id::of(&[2; 32]).to_string());
        let first = format!("# fine\n{ann} peer ann\n");
        for bad in [
            bob.clone(),
            format!("{bob} admin"),
            format!("{bob} Peer"),
            format!("{bob} own"),
            format!("{bob} peer a b"),
            format!("{bob} peer {ann}"),
            format!("{bob} peer ann"),
            format!("{ann} reader"),
            format!("{} peer", &bob[1..]),
            format!("{bob} peer \u{202e}x"),
            format!("{bob} peer {}", "n".repeat(65)),
            "peer".to_owned(),
            format!("\0{bob} peer"),
        ] {
            let error = parse(&format!("{first}{bad}\n")).expect_err(&bad);
            assert_eq!(error.line, 3, "{bad}: {error}");
        }
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        use Standing::{Client, Own, Peer, Reader};
        assert!(Reader < Client && Client < Peer && Peer < Own);
        for standing in [Reader, Client, Peer] {
            assert_eq!(Standing::parse(&standing.to_string()), Some(standing));
        }
        assert_eq!(Standing::parse("own"), None, "nobody is granted to be us");
    }
}
