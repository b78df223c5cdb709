//! From a command to its exit: ask server A, print the answer.
#![expect(clippy::disallowed_methods, reason = "who asks, and from where")]

use std::ffi::OsString;
use std::time::Duration;

use common::identity::Identity;
use common::wire::client::{Answer, DrainMode, Request, Target};
use common::wire::handshake::HANDSHAKE_TIME;
use common::wire::log::LogQuery;

use crate::cli::{Cli, Command, LockArgs, TargetArgs, UnlockArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::request::{Answers, ask};
use crate::shown::{Shown, ShownError, folder};
use crate::target::{Choice, path};
use crate::terminal::{Output, say};
use crate::{history, json, kept, listing, status, trust, up, verified, words};

/// How much longer than asked for the end of a wait may take to arrive.
const WAIT_GRACE: Duration = Duration::from_secs(10);

/// Carries out a command line.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match crate::cli::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no matter.
            let _ = error.print();
            return if error.exit_code() == 0 { Exit::Done } else { Exit::Usage };
        }
    };
    let mut out = Output::open();
    let as_json = cli.json;
    let end = carry_out(cli, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    end.unwrap_or_else(|failure| {
        if as_json && !out.is_begun() {
            let _ = out.text(&json::failure(&failure)).and_then(|()| out.flush());
        }
        say(&failure.lines());
        failure.exit
    })
}

fn carry_out(cli: Cli, out: &mut Output) -> Result<Exit, Failure> {
    let Cli { server, identity, json, command } = cli;
    let place = identity.identity.as_deref();
    let command = command.unwrap_or(Command::List);
    let folder = folder(|name| std::env::var_os(name));
    let memory = kept::Memory::of(folder.clone(), &server);
    let shown = folder.map(|folder| Shown::of(&folder, &server));
    if let Command::Up(options) = command {
        return match up::run_both_servers(&options, place) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure {
                exit: Exit::Refused,
                message: words::safe(&format!("{error:#}")),
                hint: None,
            }),
        };
    }
    match &command {
        Command::Id => return said(out, &trust::id(&Identity::open(place)?, json)),
        Command::Trust(args) => {
            return said(out, &trust::trust(&Identity::open(place)?, args, json)?);
        }
        _ => {}
    }
    let request = request(command, shown.as_ref(), &memory)?;
    let identity = Identity::open(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let mut answers = ask(&server, &identity, &request, HANDSHAKE_TIME).await?;
        let end = match &request {
            Request::List => {
                let end = listing::print(&mut answers, shown.as_ref(), json, out).await;
                end.map(|()| Exit::Done)
            }
            Request::Trash { .. } => kept::print_trash(&mut answers, &memory, json, out).await,
            Request::Conflicts => kept::print_conflicts(&mut answers, &memory, json, out).await,
            Request::Resolve(_) => kept::print_resolved(&mut answers, json, out).await,
            request => match answer(&mut answers, request).await {
                Ok(answer) => print(&answer, json, out),
                Err(failure) => Err(failure),
            },
        };
        say(&words::broken(answers.broken()));
        end
    });
    // A name that is still being looked up must not hold the end of the program.
    runtime.shutdown_background();
    end
}

fn said(out: &mut Output, text: &str) -> Result<Exit, Failure> {
    out.text(text)?;
    Ok(Exit::Done)
}

async fn answer(answers: &mut Answers, request: &Request) -> Result<Answer, Failure> {
    Ok(match request {
        Request::Wait { timeout_ms } | Request::Verify { timeout_ms, .. } => {
            answers.next_within(Duration::from_millis(*timeout_ms) + WAIT_GRACE).await?
        }
        _ => answers.next().await?,
    })
}

fn print(answer: &Answer, as_json: bool, out: &mut Output) -> Result<Exit, Failure> {
    match answer {
        Answer::Locked(lock) => {
            out.text(&if as_json { json::locked(lock) } else { words::locked(lock) })?;
        }
        Answer::Unlocked(receipt) => {
            out.text(&if as_json { json::receipt(receipt) } else { words::receipt(receipt) })?;
        }
        Answer::Locks(rows) => {
            out.text(&if as_json { json::locks(rows) } else { words::locks(rows) })?;
        }
        Answer::Held(rows) => {
            out.text(&if as_json { json::held(rows) } else { words::held(rows) })?;
        }
        Answer::Status(all) => {
            out.text(&if as_json { json::status(all) } else { status::system(all) })?;
        }
        Answer::PathStatus(one) => {
            out.text(&if as_json { json::path_status(one) } else { status::path(one) })?;
        }
        Answer::Waited(waited) => {
            if as_json {
                out.text(&json::waited(waited))?;
            }
            if let Some((line, rows)) = words::not_yet(waited) {
                out.flush()?;
                say(&format!("lab3: {line}\n{rows}"));
                return Ok(Exit::StillWaiting);
            }
        }
        Answer::Done(line) => {
            out.text(&if as_json { json::done(line) } else { words::safe(line) + "\n" })?;
        }
        Answer::Verified(found) => {
            out.text(&if as_json { json::verified(found) } else { verified::verified(found) })?;
            return Ok(verified::exit(found));
        }
        Answer::Log(part) => {
            out.text(&if as_json { json::log(part) } else { history::log(part) })?;
            if let Some(remarks) = history::remarks(part) {
                out.flush()?;
                say(&remarks);
            }
        }
        Answer::Refused(refusal) => return Err(refusal.clone().into()),
        Answer::Restored(restored) => kept::print_restored(restored, as_json, out)?,
        Answer::Listing(_)
        | Answer::Trash(_)
        | Answer::Conflicts(_)
        | Answer::Resolved(_)
        | Answer::Broken(_) => {
            return Err(Failure::unexpected());
        }
    }
    Ok(Exit::Done)
}

fn request(
    command: Command,
    shown: Option<&Shown>,
    memory: &kept::Memory,
) -> Result<Request, Failure> {
    Ok(match command {
        Command::List | Command::Up(_) | Command::Id | Command::Trust(_) => Request::List,
        Command::Lock(LockArgs { target, comment, ttl }) => Request::Lock {
            target: required(target, shown)?,
            holder: String::new(),
            comment,
            ttl_s: ttl.map(|ttl| ttl.as_secs()),
        },
        Command::Unlock(args) => unlock(args, shown)?,
        Command::Locks => Request::Locks,
        Command::Held { target } => Request::Held { target: chosen(target, shown)? },
        Command::Status { path: text } => {
            Request::Status { path: text.as_deref().map(path).transpose()? }
        }
        Command::Wait { timeout } => {
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            Request::Wait { timeout_ms }
        }
        Command::Approve => Request::Approve,
        Command::Reject => Request::Reject,
        Command::Scrub => Request::Scrub,
        Command::Verify { timeout, deep } => {
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            Request::Verify { timeout_ms, deep }
        }
        Command::Log { path: text, since, limit } => {
            Request::Log(LogQuery { path: text.as_deref().map(path).transpose()?, since, limit })
        }
        Command::Trash(args) => kept::trash_request(args, memory)?,
        Command::Conflicts(args) => kept::conflicts_request(args, memory)?,
    })
}

fn unlock(args: UnlockArgs, shown: Option<&Shown>) -> Result<Request, Failure> {
    let mode = match (args.keep_a, args.discard) {
        (true, _) => DrainMode::KeepA,
        (_, true) => DrainMode::Discard,
        _ => DrainMode::Apply,
    };
    Ok(Request::Unlock {
        target: required(args.target, shown)?,
        holder: String::new(),
        force: args.force,
        mode,
        dry_run: args.dry_run,
    })
}

fn required(args: TargetArgs, shown: Option<&Shown>) -> Result<Target, Failure> {
    chosen(args, shown)?
        .ok_or_else(|| Failure::refused("no file is named", "name an index or path"))
}

fn chosen(args: TargetArgs, shown: Option<&Shown>) -> Result<Option<Target>, Failure> {
    let choice = match (args.path, args.target) {
        (Some(text), _) => Choice::Path(path(&text)?),
        (None, Some(text)) => Choice::parse(&text)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(match (choice, shown) {
        (Choice::Path(path), _) => Target::Path(path),
        (Choice::Index(index), Some(shown)) => shown.target(index)?,
        (Choice::Index(_), None) => return Err(ShownError::NoPlace.into()),
    }))
}
