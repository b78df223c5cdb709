//! Where text goes: data to stdout, talk to stderr.
//!
//! A reader that has closed its end of the pipe wants no more: the rest is not printed, and that
//! is no error. Colour only on a terminal, and never when `NO_COLOR` is set.
#![expect(clippy::disallowed_methods, reason = "`NO_COLOR` is in the environment")]

use std::ffi::OsString;
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
        let coloured = wants_colour(stdout.is_terminal(), |name| std::env::var_os(name));
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
        self.text(&if self.coloured { painted(line, ink) } else { line.to_owned() + "\n" })
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

fn wants_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let no_colour = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    is_terminal && !no_colour && !dumb
}

fn painted(line: &str, ink: Ink) -> String {
    let code = match ink {
        Ink::Plain => return format!("{line}\n"),
        Ink::Title => 1,
        Ink::Held => 33,
        Ink::Moving => 36,
        Ink::Trouble => 31,
    };
    format!("\x1b[{code}m{line}\x1b[0m\n")
}

/// Says something on stderr. That it cannot be said is nobody's error.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_whose_user_did_not_decline() {
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        assert!(wants_colour(true, with("TERM", "xterm")));
        assert!(wants_colour(true, with("NO_COLOR", "")));
        assert!(!wants_colour(true, with("NO_COLOR", "1")));
        assert!(!wants_colour(true, with("TERM", "dumb")));
        assert!(!wants_colour(false, with("TERM", "xterm")));
    }

    #[test]
    fn a_painted_line_ends_plain() {
        assert_eq!(painted("x", Ink::Held), "\x1b[33mx\x1b[0m\n");
        assert_eq!(painted("x", Ink::Plain), "x\n");
    }
}
