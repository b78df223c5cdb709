//! The command line. `clap` stops here.
//!
//! The assignment's spelling, `lab3 -lock 3`, is turned into `lab3 lock 3` before clap sees it,
//! since clap knows no long options with a single dash.
#![expect(clippy::disallowed_methods, reason = "`--since 2h` counts from now")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use common::options::{IdentityOptions, dialled};
use common::time::Timestamp;

use crate::request::DEFAULT_SERVER;
use crate::span;
use crate::up::UpOptions;

const USAGE: &str = "lab3 [OPTIONS] [COMMAND]
       lab3 -lock <N|PATH> [-m TEXT] [--ttl SPAN]
       lab3 -unlock <N|PATH> [--force] [--keep-a | --discard] [--dry-run]";

const EXAMPLES: &str = "Examples:
  lab3                        list, with indexes
  lab3 -lock 3 -m 'editing'   lock the file that the listing showed as 3
  lab3 -unlock 3              apply what was held, in order, and unlock
  lab3 -lock ./3              lock the file that is called `3`

Exit codes: 0 done, 1 refused, 2 usage, 3 server A unreachable, 4 locked by another,
5 timed out or still waiting";

/// List, lock and unlock the files that server A and server B keep equal
#[derive(Debug, Parser)]
#[command(name = "lab3", version, override_usage = USAGE, after_help = EXAMPLES)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Server A's address
    #[arg(long, global = true, value_name = "HOST:PORT", env = "LAB3_SERVER")]
    #[arg(hide_env_values = true, default_value = DEFAULT_SERVER, value_parser = dialled)]
    pub server: String,
    /// Who you are
    #[command(flatten)]
    pub identity: IdentityOptions,
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do; `list` when absent
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all files with index, name, size, time and state
    List,
    /// Lock a file or directory: B's edits of it are held at A
    #[command(override_usage = "lab3 -lock <N|PATH> [OPTIONS]")]
    Lock(LockArgs),
    /// Unlock, and apply what was held, in the order received
    #[command(override_usage = "lab3 -unlock <N|PATH> [OPTIONS]")]
    Unlock(UnlockArgs),
    /// List the locks
    Locks,
    /// List the held edits, in order
    Held {
        /// Only of this file or directory
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Say how the system does, or why a path waits
    Status {
        /// Only this path
        path: Option<OsString>,
    },
    /// Wait until everything done before now is on both sides
    Wait {
        /// But not longer than this
        #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
        timeout: Duration,
    },
    /// After a halt: go on, taking what was found as meant
    Approve,
    /// After a halt: go on, restoring from the other side
    Reject,
    /// Scan both directories now
    Scrub,
    /// List what is in trash on both sides, or bring a version back
    #[command(args_conflicts_with_subcommands = true)]
    Trash(TrashArgs),
    /// List the conflict copies, or settle them
    Conflicts(ConflictsArgs),
    /// Run both servers in this process
    Up(UpOptions),
    /// Say who you are: the id that others trust
    Id,
    /// Say who may connect to your servers, and which servers you believe
    Trust(TrustArgs),
    /// Compare both sides, by a digest of everything
    Verify {
        /// But not longer than this
        #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
        timeout: Duration,
        /// Read all files on both sides first, to find bytes that changed by themselves
        #[arg(long)]
        deep: bool,
    },
    /// Say what happened: who created, changed, renamed or deleted what, and when
    Log {
        /// Only this path and what is below, under older names, too
        path: Option<OsString>,
        /// Not older than this: a span such as 2h, or a time such as 2026-11-21T09:50:00Z
        #[arg(long, value_name = "SPAN|TIME", value_parser = since)]
        since: Option<Timestamp>,
        /// So many, the newest
        #[arg(long, value_name = "N", default_value_t = 50)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

/// Names a file.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// An index of the last listing, or a path
    #[arg(value_name = "N|PATH", allow_negative_numbers = true, conflicts_with = "path")]
    pub target: Option<OsString>,
    /// A path, even when it looks like an index
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    pub path: Option<OsString>,
}

/// How to lock.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// What to lock
    #[command(flatten)]
    pub target: TargetArgs,
    /// Why, for others to read
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Unlock by itself after this time, such as 90s, 15m, 2h, 1d
    #[arg(long, value_name = "SPAN", value_parser = span::parse_some)]
    pub ttl: Option<Duration>,
}

/// How to unlock.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// What to unlock
    #[command(flatten)]
    pub target: TargetArgs,
    /// Unlock though another holds it
    #[arg(long)]
    pub force: bool,
    /// Keep A's version under the name, and B's last one beside it
    #[arg(long, conflicts_with = "discard")]
    pub keep_a: bool,
    /// Move what was held to the trash; A's version goes to B
    #[arg(long)]
    pub discard: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Whom to trust.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The id that `lab3 id` prints over there; without one, list whom you trust
    #[arg(value_name = "ID", conflicts_with_all = ["list", "remove"])]
    pub id: Option<String>,
    /// What to call it: locks are shown with it
    #[arg(long, value_name = "NAME", requires = "id")]
    pub name: Option<String>,
    /// What it may do [default: what it may do now, or else client]
    #[arg(long, value_enum, requires = "id")]
    pub role: Option<RoleArg>,
    /// List whom you trust
    #[arg(long, conflicts_with = "remove")]
    pub list: bool,
    /// Trust it no longer; what is connected is closed
    #[arg(long, value_name = "ID|NAME")]
    pub remove: Option<String>,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum RoleArg {
    /// List files, and ask how things are
    Reader,
    /// Lock, unlock, decide and restore, too
    Client,
    /// Be a server at the other end: everything
    Peer,
}

/// What about trash.
#[derive(Debug, Args)]
pub struct TrashArgs {
    /// List, or bring back
    #[command(subcommand)]
    pub command: Option<TrashCommand>,
    /// Only what was at this path or below it
    #[arg(value_name = "PATH")]
    pub path: Option<OsString>,
}

/// What about trash.
#[derive(Debug, Subcommand)]
pub enum TrashCommand {
    /// List what is in trash on both sides, the newest first
    List {
        /// Only what was at this path or below it
        #[arg(value_name = "PATH")]
        path: Option<OsString>,
    },
    /// Bring a version back, at the side that has it; it stays in trash, too
    Restore {
        /// An index of the last `lab3 trash`, or an id
        #[arg(value_name = "N|ID")]
        id: OsString,
        /// Under another name than its own
        #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
        to: Option<OsString>,
        /// Though a file is there now: that one goes to trash
        #[arg(long)]
        over: bool,
    },
}

/// What about conflict copies.
#[derive(Debug, Args)]
pub struct ConflictsArgs {
    /// List, or settle
    #[command(subcommand)]
    pub command: Option<ConflictsCommand>,
}

/// What about conflict copies.
#[derive(Debug, Subcommand)]
pub enum ConflictsCommand {
    /// List the conflict copies
    List,
    /// Settle which version has the name
    Resolve(ResolveArgs),
}

/// How to settle conflicts.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// An index of the last `lab3 conflicts`, a copy's path, or the path that copies lost
    #[arg(value_name = "N|PATH", allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["path", "all"], required_unless_present_any = ["path", "all"])]
    pub target: Option<OsString>,
    /// A path, even when it looks like an index
    #[arg(long, value_name = "PATH", allow_hyphen_values = true, conflicts_with = "all")]
    pub path: Option<OsString>,
    /// All copies that hold what their names say
    #[arg(long)]
    pub all: bool,
    /// Whose version shall have the name; the others go to trash
    #[arg(long, value_name = "WHICH", value_enum)]
    pub take: TakeArg,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Whose version shall have the name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum TakeArg {
    /// Side A's
    A,
    /// Side B's
    B,
    /// The one that was modified last
    Newest,
    /// The one that has it; the copy is kept beside it as an ordinary file
    Both,
}

/// The clap command, for help texts.
#[must_use]
pub fn command() -> clap::Command {
    let required = |command: clap::Command| {
        command.mut_arg("target", |arg| arg.required_unless_present("path"))
    };
    Cli::command().mut_subcommand("lock", required).mut_subcommand("unlock", required)
}

/// Reads the command line, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args = respell(args.into_iter().collect())?;
    Cli::from_arg_matches(&command().try_get_matches_from(args)?)
}

/// Turns `-lock` and `-unlock`, with one dash or two, into the subcommand, wherever they stand.
fn respell(mut args: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let spelled: Vec<usize> = (1..end).filter(|&at| spelling(&args[at]).is_some()).collect();
    let Some(&at) = spelled.first() else {
        return Ok(args);
    };
    if spelled.len() > 1 {
        let message = "-lock and -unlock can be used once, and not together";
        return Err(command().error(ErrorKind::ArgumentConflict, message));
    }
    if (1..at).any(|before| names_a_command(&args[before - 1], &args[before])) {
        let message = "-lock and -unlock cannot be used with another command";
        return Err(command().error(ErrorKind::ArgumentConflict, message));
    }
    let spelled = args.remove(at);
    let Some((command, value)) = spelling(&spelled) else {
        return Ok(args);
    };
    if let Some(value) = value {
        args.insert(at, value.to_owned());
    }
    args.insert(1, command.into());
    Ok(args)
}

fn spelling(arg: &OsStr) -> Option<(&'static str, Option<&OsStr>)> {
    let bytes = arg.as_bytes();
    let bytes = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"))?;
    ["lock", "unlock"].into_iter().find_map(|name| match bytes.strip_prefix(name.as_bytes())? {
        b"" => Some((name, None)),
        [b'=', value @ ..] => Some((name, Some(OsStr::from_bytes(value)))),
        _ => None,
    })
}

fn names_a_command(before: &OsStr, arg: &OsStr) -> bool {
    let is_value = ["-m", "--comment", "--ttl", "--server", "--identity"]
        .iter()
        .any(|option| before == *option);
    !is_value && Cli::command().get_subcommands().any(|command| arg == command.get_name())
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let span = span::parse(text)
        .map_err(|_| "a span like `2h`, or a time like `2026-11-21T09:50:00Z`".to_owned())?;
    let now = Timestamp::now();
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Ok(Timestamp { seconds: now.seconds.saturating_sub(seconds), ..now })
}
