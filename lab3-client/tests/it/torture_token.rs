//! Tokens: every write carries a word that no other write has, and every content that is made of
//! them tells by itself whether it is whole. So what is found anywhere in the end can be read back
//! to the writes that it came from, and what no write made is seen to be invented.

use std::collections::BTreeSet;

use common::digest::Digest;
use common::side::Side;

/// Lines of a whole file that carry its token, then as many that all versions have alike.
const BLOCK_LINES: usize = 2000;
/// A reader may catch a line that is just being written where a page ends, and nowhere else.
const PAGE: usize = 4096;
/// A slot has 64 bytes.
const SLOT_FILLING: usize = 43;
/// The length of a token.
pub(crate) const TOKEN_BYTES: usize = 10;

/// The token of one write: who made it, and which of his writes it is.
pub(crate) fn token(side: Side, writer: u64, number: u64) -> String {
    format!("{side}{writer:02}-{number:06}")
}

/// Whether a user of this side wrote it.
pub(crate) fn is_of(token: &str, side: Side) -> bool {
    token.starts_with(&side.to_string())
}

/// Whether a token stands anywhere in some bytes.
pub(crate) fn holds(content: &[u8], token: &str) -> bool {
    content.windows(TOKEN_BYTES).any(|window| window == token.as_bytes())
}

/// The line with this token: of changing length, with a checksum at its end.
pub(crate) fn line(token: &str) -> String {
    let digest = Digest::of(token.as_bytes());
    let filling = "x".repeat(usize::from(digest.0[9] % 80));
    format!("{token} {filling}{}\n", digest.short())
}

/// The same, of always one length: a place in a file that is mapped.
pub(crate) fn slot(token: &str) -> String {
    format!("{token} {:-<SLOT_FILLING$} {}\n", "", Digest::of(token.as_bytes()).short())
}

/// The whole file with this token, of so many lines.
pub(crate) fn whole(token: &str, lines: usize) -> String {
    use std::fmt::Write as _;
    let mut text = head(token, lines);
    for number in 0..lines {
        let word = if (number / BLOCK_LINES).is_multiple_of(2) { token } else { "in all versions" };
        writeln!(text, "{word} {number:06} ...............").expect("a string takes all");
    }
    text.push_str(token);
    text.push_str(" end ");
    text.push_str(&Digest::of(token.as_bytes()).short());
    text.push('\n');
    text
}

fn head(token: &str, lines: usize) -> String {
    format!("{token} whole {lines}\n")
}

/// What a content is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Empty,
    /// One version, whole.
    Whole(String),
    /// The beginning of one version: what a save that writes in place shows for a moment.
    Beginning(String),
    /// Lines, each whole.
    Lines(Vec<String>),
    /// Whole lines, and pieces of text that are none.
    Broken(Vec<String>, Vec<String>),
    /// Nothing that anybody wrote.
    Nonsense(String),
}

impl Found {
    /// The tokens in it.
    pub(crate) fn tokens(&self) -> Vec<&str> {
        match self {
            Found::Empty | Found::Nonsense(_) => Vec::new(),
            // The last of all is written last.
            Found::Beginning(_) => Vec::new(),
            Found::Whole(token) => vec![token],
            Found::Lines(tokens) | Found::Broken(tokens, _) => {
                tokens.iter().map(String::as_str).collect()
            }
        }
    }
}

/// Reads a content back to the tokens that it was made of.
pub(crate) fn read(content: &[u8]) -> Found {
    let Ok(text) = std::str::from_utf8(content) else {
        return Found::Nonsense("not text".to_owned());
    };
    if text.is_empty() {
        return Found::Empty;
    }
    let first = text.lines().next().unwrap_or_default();
    let mut words = first.split(' ');
    let (name, kind, count) = (words.next(), words.next(), words.next());
    if kind == Some("whole") && text.contains('\n') {
        return read_whole(text, name.unwrap_or_default(), count.unwrap_or_default());
    }
    let (mut tokens, mut pieces) = (Vec::new(), Vec::new());
    for piece in text.split_inclusive('\n') {
        let token = piece.split(' ').next().unwrap_or_default();
        if line(token) == piece || slot(token) == piece {
            tokens.push(token.to_owned());
        } else if piece.ends_with('\n') || !text.len().is_multiple_of(PAGE) {
            // Where a page ends a writer may have been stopped in the middle.
            pieces.push(piece.to_owned());
        }
    }
    if pieces.is_empty() { Found::Lines(tokens) } else { Found::Broken(tokens, pieces) }
}

fn read_whole(text: &str, token: &str, lines: &str) -> Found {
    let wanted = whole(token, lines.parse().unwrap_or(0));
    if text == wanted {
        Found::Whole(token.to_owned())
    } else if wanted.starts_with(text) {
        Found::Beginning(token.to_owned())
    } else {
        Found::Nonsense(format!("a mixture in {token}: {}", around(text, &wanted)))
    }
}

/// Where two texts part.
fn around(text: &str, wanted: &str) -> String {
    let at = text.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| text.get(at.saturating_sub(20)..).map(|t| t.chars().take(60).collect());
    let (has, wants): (Option<String>, Option<String>) = (cut(text), cut(wanted));
    format!("of {} bytes, at {at} it has {has:?}, not {wants:?}", text.len())
}

/// The tokens of one side in a content.
pub(crate) fn of_side(content: &[u8], side: Side) -> BTreeSet<String> {
    let found = read(content);
    found.tokens().into_iter().filter(|t| is_of(t, side)).map(str::to_owned).collect()
}

/// A mixture, a torn line and a short file are told from what is whole; nothing else is.
#[test]
fn what_nobody_wrote_is_told_from_what_somebody_wrote() {
    let (a, b) = (token(Side::A, 1, 7), token(Side::B, 2, 8));
    for lines in [0, 3, 5000] {
        let (one, two) = (whole(&a, lines), whole(&b, lines));
        assert_eq!(read(one.as_bytes()), Found::Whole(a.clone()));
        let last = one.trim_end().rfind('\n').expect("a line") + 1;
        for end in [one.find('\n').expect("a line") + 1, last] {
            let (one, two) = (&one[..end], &two[end..]);
            assert_eq!(read(one.as_bytes()), Found::Beginning(a.clone()));
            let mixed = [one, two].concat();
            assert!(matches!(read(mixed.as_bytes()), Found::Nonsense(_)), "{lines}, {end}");
        }
    }
    let log = [line(&a), line(&b)].concat();
    assert_eq!(read(log.as_bytes()), Found::Lines(vec![a.clone(), b]));
    for end in 1..log.len() {
        let cut = read(&log.as_bytes()[..end]);
        let at_a_line = log[..end].ends_with('\n');
        assert_eq!(matches!(cut, Found::Lines(_)), at_a_line, "{end}: {cut:?}");
    }
    assert_eq!(of_side(log.as_bytes(), Side::A), BTreeSet::from([a]));
}
