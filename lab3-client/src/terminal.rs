//! Where text goes: data to stdout, talk to stderr.
//!
//! A reader that has closed its end of the pipe wants no more: the rest is not printed, and that
//! is no error. Colour only on a terminal, and never when `NO_COLOR` is set.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

/// A colour, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Plain text.
    Plain,
    /// A header.
    Title,
    /// Locked or held: on purpose.
    Held,
    /// On its way, or missing on one side.
    Moving,
    /// Somebody should look.
    Trouble,
}

/// Standard output.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<Stdout>,
    coloured: bool,
    closed: bool,
    begun: bool,
}

impl Output {
    /// Standard output, coloured if that is in order.
    #[must_use]
    pub fn open() -> Output {
        let stdout = io::stdout();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let coloured = stdout.is_terminal() && !is_set("NO_COLOR") && !dumb;
        Output { out: BufWriter::new(stdout), coloured, closed: false, begun: false }
    }

    /// Prints text.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.begun = true;
        if self.closed {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes());
        self.quietly(written)
    }

    /// Whether anything was printed.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Prints a line.
    pub fn line(&mut self, line: &str, ink: Ink) -> io::Result<()> {
        match ink {
            _ if !self.coloured => self.text(&format!("{line}\n")),
            Ink::Plain => self.text(&format!("{line}\n")),
            Ink::Title => self.text(&format!("\x1b[1m{line}\x1b[0m\n")),
            Ink::Held => self.text(&format!("\x1b[33m{line}\x1b[0m\n")),
            Ink::Moving => self.text(&format!("\x1b[36m{line}\x1b[0m\n")),
            Ink::Trouble => self.text(&format!("\x1b[31m{line}\x1b[0m\n")),
        }
    }

    /// Sends what was printed on its way.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.quietly(flushed)
    }

    fn quietly(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result,
        }
    }
}

/// Says something on stderr. That it cannot be said is nobody's error.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
