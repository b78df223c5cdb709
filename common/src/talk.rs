//! How a server speaks to people: one line for everything that it does, with the file's name.
//!
//! Lines leave on a thread of their own, and are dropped rather than waited for when nobody reads
//! them: a terminal that stands still must not stop the synchronizing. Fields in a fixed order:
//! time, direction, what, path, detail.
#![expect(clippy::disallowed_methods, reason = "each line bears the time")]

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, debug, info};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::change::Operation;
use crate::entry::Entry;
use crate::path::{inert, inert_json};
use crate::side::Side;
use crate::time::Timestamp;
use crate::wire::message::Observation;

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volume {
    /// Only warnings and errors.
    Quiet,
    /// Every action.
    #[default]
    Normal,
    /// Connections, scans and waits, too.
    Verbose,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// So many lines may wait for whoever reads them; those that come then are not said.
const LINES_MAX: usize = 16_384;

/// Speaks until it is dropped, then says what is still queued.
#[must_use]
pub struct Voice {
    _worker: WorkerGuard,
}

/// Starts to speak on stdout. A second call in one process changes nothing.
pub fn start(volume: Volume, format: Format) -> Voice {
    let voice = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
    let (writer, worker) = voice.finish(std::io::stdout());
    let level = match volume {
        Volume::Quiet => Level::WARN,
        Volume::Normal => Level::INFO,
        Volume::Verbose => Level::DEBUG,
    };
    let made = move || Inert { to: writer.clone(), format };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(made);
    // Two servers in one process share the first one's voice.
    let _ = match format {
        Format::Text => {
            tracing::subscriber::set_global_default(builder.event_format(Line).finish())
        }
        Format::Json => tracing::subscriber::set_global_default(
            builder.json().flatten_event(true).with_target(false).finish(),
        ),
    };
    Voice { _worker: worker }
}

/// Writes lines without anything that a terminal would act on, whoever said it.
struct Inert {
    to: NonBlocking,
    format: Format,
}

impl std::io::Write for Inert {
    /// Called once for each line.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = match (self.format, text.strip_suffix('\n')) {
            (Format::Json, _) => inert_json(&text),
            (Format::Text, Some(text)) => inert(text) + "\n",
            (Format::Text, None) => inert(&text),
        };
        self.to.write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// The format for people.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        let now = Timestamp::now();
        let now = Timestamp { nanos: now.nanos / 1_000_000 * 1_000_000, ..now }.rfc3339();
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "{now} {level}")?;
        if !words.direction.is_empty() {
            write!(writer, "{} ", words.direction)?;
        }
        writer.write_str(&words.message)?;
        if !words.path.is_empty() {
            write!(writer, " `{}`", words.path)?;
        }
        writeln!(writer, "{}", words.rest)
    }
}

#[derive(Default)]
struct Words {
    direction: String,
    message: String,
    path: String,
    rest: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "direction" => write!(self.direction, "{value:?}"),
            "path" => write!(self.path, "{value:?}"),
            "bytes" => write!(self.rest, " ({value:?} bytes)"),
            "to" => write!(self.rest, " to `{value:?}`"),
            "copy" => write!(self.rest, " as `{value:?}`"),
            "why" => write!(self.rest, ": {value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

/// The last words of a program that cannot run: what went wrong and what to do.
pub fn complain(program: &str, what: &str, hint: Option<&str>) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    // If nobody can read it, nobody can be told.
    let _ = writeln!(stderr, "{program}: {}", inert(what));
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    ExitCode::FAILURE
}

/// The one line that says that a server is ready.
pub fn ready(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // Whoever started us and does not listen does not need to know.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// In which direction a change went that was made at a side.
#[must_use]
pub fn towards(side: Side) -> String {
    format!("{}→{side}", side.other())
}

/// Says what was done at a side, with the direction in which it went.
pub fn did(side: Side, operation: &Operation) {
    let direction = towards(side);
    match operation {
        Operation::Rename { from, to, .. } => {
            info!(%direction, path = %from, %to, "renamed");
        }
        // With the names in it where they are known.
        Operation::Clear { path, .. } => info!(%direction, %path, "deleted"),
        Operation::Change(change) => {
            let path = &change.path;
            match (&change.before, &change.after) {
                (_, None) => info!(%direction, %path, "deleted"),
                (None, Some(Entry::File(file))) => {
                    info!(%direction, %path, bytes = file.size, "created");
                }
                (None, Some(Entry::Dir { .. })) => info!(%direction, %path, "created directory"),
                (None, Some(Entry::Link(_))) => info!(%direction, %path, "created link"),
                (Some(before), Some(after)) if before.same_content(after) => {
                    info!(%direction, %path, "changed metadata of");
                }
                (Some(_), Some(after)) => {
                    info!(%direction, %path, bytes = after.size(), "modified");
                }
            }
        }
    }
}

/// Says what was seen at a side.
pub fn saw(side: Side, observation: &Observation) {
    for row in &observation.rows {
        let what = if row.entry.is_some() { "saw change of" } else { "saw deletion of" };
        debug!(direction = %side, path = %row.path, "{what}");
    }
    for (path, problem) in &observation.problems {
        if let Some(problem) = problem.as_ref().filter(|p| p.kind.is_trouble()) {
            info!(direction = %side, %path, why = %problem.detail, "cannot synchronize");
        }
    }
}
