//! What was saved: versions in trash and conflict copies, listed, brought back, settled.
//!
//! A list is collected whole, remembered, and printed: its numbers may be used as soon as it is
//! read. A number of a conflict copy stands for what it held and what had its name, too, so that
//! nothing is done to a version that was not shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use common::digest::Digest;
use common::path::{RelPath, escape};
use common::wire::client::kept::{
    ConflictRow, Fate, Resolve, Resolved, Restore, Restored, Take, TrashPart, Which,
};
use common::wire::client::{Answer, Request};
use common::wire::trashed::TrashId;

use crate::cli::{ConflictsArgs, ConflictsCommand, TakeArg, TrashArgs, TrashCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::numbered::Numbered;
use crate::request::Answers;
use crate::shown::ShownError;
use crate::target::{Choice, path};
use crate::terminal::{Output, say};
use crate::{kept_json, kept_words, words};

/// Where the numbers of the last lists are remembered.
#[derive(Clone, Debug)]
pub struct Memory {
    folder: Option<PathBuf>,
    server: String,
}

impl Memory {
    /// Of this server, in this folder.
    #[must_use]
    pub fn of(folder: Option<PathBuf>, server: &str) -> Memory {
        Memory { folder, server: server.to_owned() }
    }

    fn of_command(&self, command: &'static str) -> Result<Numbered, Failure> {
        let folder = self.folder.as_deref().ok_or(ShownError::NoPlace)?;
        Ok(Numbered::of(folder, command, &self.server))
    }

    /// Remembers a list that is about to be printed. When that does not work, it is said, and the
    /// numbers mean nothing.
    fn keep(&self, command: &'static str, rows: &[Vec<u8>]) -> Result<(), Failure> {
        let list = match self.of_command(command) {
            Ok(list) => list,
            Err(failure) => return complain(&failure),
        };
        list.forget()?;
        list.remember(rows).or_else(|failure| complain(&failure))
    }
}

fn complain(failure: &Failure) -> Result<(), Failure> {
    say(&failure.lines());
    Ok(())
}

/// What is asked about trash.
pub fn trash_request(args: TrashArgs, memory: &Memory) -> Result<Request, Failure> {
    let below = |text: Option<&OsStr>| text.map(path).transpose();
    Ok(match args.command {
        None => Request::Trash { below: below(args.path.as_deref())? },
        Some(TrashCommand::List { path }) => Request::Trash { below: below(path.as_deref())? },
        Some(TrashCommand::Restore { id, to, over }) => {
            let to = to.as_deref().map(path).transpose()?;
            Request::Restore(Restore { id: trash_id(&id, memory)?, to, over })
        }
    })
}

fn trash_id(text: &OsStr, memory: &Memory) -> Result<TrashId, Failure> {
    let no_such = || {
        let message = format!("`{}` is no number and no id of a version", escape(text.as_bytes()));
        Failure::refused(message, "run `lab3 trash` to see what is there")
    };
    let text = text.to_str().ok_or_else(no_such)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return TrashId::parse(text).ok_or_else(no_such);
    }
    let row = memory.of_command("trash")?.row(text.parse().unwrap_or(u64::MAX))?;
    std::str::from_utf8(&row).ok().and_then(TrashId::parse).ok_or_else(no_such)
}

/// What is asked about conflict copies.
pub fn conflicts_request(args: ConflictsArgs, memory: &Memory) -> Result<Request, Failure> {
    let Some(ConflictsCommand::Resolve(args)) = args.command else {
        return Ok(Request::Conflicts);
    };
    let which = match (args.all, args.path, args.target) {
        (true, ..) => Which::All,
        (_, Some(text), _) => Which::Path(path(&text)?),
        (_, _, Some(text)) => match Choice::parse(&text)? {
            Choice::Path(path) => Which::Path(path),
            Choice::Index(number) => {
                let row = memory.of_command("conflicts")?.row(number)?;
                shown(&row).ok_or_else(|| {
                    Failure::refused("what was listed last is damaged", "run `lab3 conflicts`")
                })?
            }
        },
        (false, None, None) => {
            let hint = "name a number or a path, or say `--all`";
            return Err(Failure::refused("no conflict copy is named", hint));
        }
    };
    let take = match args.take {
        TakeArg::A => Take::A,
        TakeArg::B => Take::B,
        TakeArg::Newest => Take::Newest,
        TakeArg::Both => Take::Both,
    };
    Ok(Request::Resolve(Resolve { which, take, dry_run: args.dry_run }))
}

/// What exactly was shown, as it is remembered: digest, digest of what has the name, path.
fn as_shown(row: &ConflictRow) -> Vec<u8> {
    let rival = row.rival.map_or_else(|| "-".to_owned(), |rival| rival.to_string());
    let head = format!("{} {rival} ", row.digest);
    [head.as_bytes(), row.path.as_bytes()].concat()
}

fn shown(row: &[u8]) -> Option<Which> {
    let mut parts = row.splitn(3, |&byte| byte == b' ');
    let digest = |text: &[u8]| Digest::parse(std::str::from_utf8(text).ok()?);
    let own = digest(parts.next()?)?;
    let rival = match parts.next()? {
        b"-" => None,
        text => Some(digest(text)?),
    };
    let path = RelPath::new(parts.next()?).ok()?;
    Some(Which::Shown { path, digest: own, rival })
}

/// Prints what is in trash.
pub async fn print_trash(
    answers: &mut Answers,
    memory: &Memory,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut whole: Option<TrashPart> = None;
    loop {
        let part = match answers.next().await? {
            Answer::Trash(part) => part,
            other => return Err(unexpected(other)),
        };
        let last = part.last;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.rows.extend(part.rows),
        }
        if last {
            break;
        }
    }
    let whole = whole.ok_or_else(Failure::unexpected)?;
    let id = |(side, row): &(_, common::wire::trashed::TrashRow)| {
        TrashId { side: *side, name: row.name.clone() }.to_string().into_bytes()
    };
    memory.keep("trash", &whole.rows.iter().map(id).collect::<Vec<_>>())?;
    out.text(&if as_json { kept_json::trash(&whole) } else { kept_words::trash(&whole.rows) })?;
    out.flush()?;
    if whole.left_out > 0 {
        say(&format!("{} older ones are not listed: name a path\n", whole.left_out));
    }
    if let Some(away) = words::away(&whole.b) {
        say(&format!("{away}its trash is not listed\n"));
    }
    Ok(Exit::Done)
}

/// Prints that a version is back.
pub fn print_restored(restored: &Restored, as_json: bool, out: &mut Output) -> Result<(), Failure> {
    let text = if as_json { kept_json::restored(restored) } else { kept_words::restored(restored) };
    Ok(out.text(&text)?)
}

/// Prints the conflict copies.
pub async fn print_conflicts(
    answers: &mut Answers,
    memory: &Memory,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    loop {
        match answers.next().await? {
            Answer::Conflicts(part) => {
                rows.extend(part.rows);
                if part.last {
                    break;
                }
            }
            other => return Err(unexpected(other)),
        }
    }
    memory.keep("conflicts", &rows.iter().map(as_shown).collect::<Vec<_>>())?;
    out.text(&if as_json { kept_json::conflicts(&rows) } else { kept_words::conflicts(&rows) })?;
    Ok(Exit::Done)
}

/// Prints what became of conflict copies.
pub async fn print_resolved(
    answers: &mut Answers,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let mut whole: Option<Resolved> = None;
    loop {
        let part = match answers.next().await? {
            Answer::Resolved(part) => part,
            other => return Err(unexpected(other)),
        };
        let last = part.last;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.rows.extend(part.rows);
                whole.waiting.extend(part.waiting);
            }
        }
        if last {
            break;
        }
    }
    let whole = whole.ok_or_else(Failure::unexpected)?;
    out.text(&if as_json { kept_json::resolved(&whole) } else { kept_words::resolved(&whole) })?;
    Ok(exit(&whole))
}

/// The worst that became of any of them.
fn exit(resolved: &Resolved) -> Exit {
    let left = resolved.rows.iter().filter_map(|row| match &row.fate {
        Fate::Left(refusal) => Some(Exit::from(refusal.kind)),
        _ => None,
    });
    let left: Vec<Exit> = left.collect();
    let late = !resolved.dry_run && !resolved.agreed && !resolved.rows.is_empty();
    match left.iter().find(|exit| **exit == Exit::LockedByAnother).or(left.first()) {
        Some(exit) => *exit,
        None if late => Exit::StillWaiting,
        None => Exit::Done,
    }
}

fn unexpected(answer: Answer) -> Failure {
    match answer {
        Answer::Refused(refusal) => refusal.into(),
        _ => Failure::unexpected(),
    }
}
