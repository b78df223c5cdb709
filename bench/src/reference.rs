//! What each part took when it was last accepted: a text that is a part of the sources. Pure.
//!
//! Counts are of one ground only: one compiler, one libc, one counter. On another ground they are
//! compared for people, and nothing fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

/// More than so many percent are a failure, where the reference does not say otherwise.
const TOLERANCE: f64 = 4.0;

/// What is at the head of the file.
const HEAD: &str = "\
# Instructions that each part takes, and by how many percent it may take more.
# It holds on this ground alone; on another one the counts are only told.
# LAB3_BLESS=1 cargo test -p bench --test it instructions
";

/// The accepted count of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Accepted {
    /// Instructions.
    pub(crate) count: u64,
    /// By so many percent it may be more.
    pub(crate) percent: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reference {
    /// On what they were counted, each word with what it was.
    pub(crate) ground: BTreeMap<String, String>,
    /// By the name of the part.
    pub(crate) parts: BTreeMap<String, Accepted>,
}

/// What is to be said of a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is as it should be.
    Same,
    /// It is less than it could be by chance: the reference should be renewed.
    Less,
    /// It is more.
    More,
    /// Nothing was accepted yet.
    New,
}

impl Reference {
    /// Reads the text.
    pub(crate) fn parse(text: &str) -> Result<Reference> {
        let mut reference = Reference::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some((word, what)) = line.split_once(": ") {
                reference.ground.insert(word.to_owned(), what.to_owned());
                continue;
            }
            let mut fields = line.split_whitespace();
            let mut field = || fields.next().with_context(|| format!("too short: `{line}`"));
            let (name, count, percent) = (field()?, field()?, field()?);
            let count = count.replace('_', "").parse().with_context(|| format!("`{line}`"))?;
            let percent = percent.trim_end_matches('%').parse();
            let percent = percent.with_context(|| format!("`{line}`"))?;
            ensure!(fields.next().is_none(), "too long: `{line}`");
            if reference.parts.insert(name.to_owned(), Accepted { count, percent }).is_some() {
                bail!("`{name}` is there twice");
            }
        }
        Ok(reference)
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (word, what) in &self.ground {
            let _ = writeln!(text, "{word}: {what}");
        }
        for (name, Accepted { count, percent }) in &self.parts {
            let _ = writeln!(text, "{name:<16} {:>12} {percent:>4}%", grouped(*count));
        }
        text
    }

    /// How another ground differs from this one.
    pub(crate) fn differs(&self, ground: &BTreeMap<String, String>) -> Vec<String> {
        let nothing = "nothing".to_owned();
        let differing = ground.iter().filter(|(word, what)| self.ground.get(*word) != Some(what));
        differing
            .map(|(word, what)| {
                let was = self.ground.get(word).unwrap_or(&nothing);
                format!("{word}: {what}, not {was}")
            })
            .collect()
    }

    /// What is to be said of the count of a part.
    pub(crate) fn judge(&self, name: &str, count: u64) -> Verdict {
        let Some(Accepted { count: accepted, percent }) = self.parts.get(name) else {
            return Verdict::New;
        };
        let room = *accepted as f64 * percent / 100.0;
        match count as f64 - *accepted as f64 {
            more if more > room => Verdict::More,
            less if less < -room => Verdict::Less,
            _ => Verdict::Same,
        }
    }

    /// The same parts with new counts, on their ground. What may be more stays what it was.
    pub(crate) fn renewed(
        &self,
        ground: BTreeMap<String, String>,
        counts: &BTreeMap<String, u64>,
    ) -> Reference {
        let parts = counts.iter().map(|(name, count)| {
            let percent = self.parts.get(name).map_or(TOLERANCE, |accepted| accepted.percent);
            (name.clone(), Accepted { count: *count, percent })
        });
        Reference { ground, parts: parts.collect() }
    }
}

/// `1_234_567`: so a reader sees how large it is.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        let ground = BTreeMap::from([("compiler".to_owned(), "one".to_owned())]);
        let parts = [("a", 1_000, 2.0), ("b", 12_345_678, 0.5)]
            .map(|(name, count, percent)| (name.to_owned(), Accepted { count, percent }));
        Reference { ground, parts: parts.into() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = reference().text();
        assert!(text.contains("12_345_678  0.5%"), "{text}");
        assert_eq!(Reference::parse(&text).expect("readable"), reference());
        assert!(Reference::parse("a 1").is_err());
        assert!(Reference::parse("a 1 2% 3").is_err());
        assert!(Reference::parse("a 1 2%\na 1 2%").is_err());
    }

    #[test]
    fn only_more_than_may_be_is_more() {
        let judge = |count| reference().judge("a", count);
        assert_eq!([judge(1_000), judge(1_020), judge(980)], [Verdict::Same; 3]);
        assert_eq!([judge(1_021), judge(979)], [Verdict::More, Verdict::Less]);
        assert_eq!(reference().judge("c", 1), Verdict::New);
    }

    #[test]
    fn another_ground_is_named_and_a_new_count_keeps_what_may_be_more() {
        let other = BTreeMap::from([("compiler".to_owned(), "two".to_owned())]);
        assert_eq!(reference().differs(&other), ["compiler: two, not one"]);
        assert!(reference().differs(&reference().ground).is_empty());
        let counts = BTreeMap::from([("b".to_owned(), 5), ("c".to_owned(), 6)]);
        let renewed = reference().renewed(other, &counts);
        assert_eq!(renewed.parts["b"], Accepted { count: 5, percent: 0.5 });
        assert_eq!(renewed.parts["c"], Accepted { count: 6, percent: TOLERANCE });
        assert!(!renewed.parts.contains_key("a"));
    }
}
