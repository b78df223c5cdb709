//! How fast edits travel, in words. Pure.

use std::fmt::Write as _;

use common::side::Side;
use common::time::Micros;
use common::wire::client::timed::{Speed, Trace};

/// A line for each direction in which something travelled.
#[must_use]
pub fn speeds(speeds: &[Speed]) -> String {
    let mut text = String::new();
    for speed in speeds.iter().filter(|speed| speed.seen_to_visible.count > 0) {
        let visible = speed.seen_to_visible;
        let (edits, p50, p99) =
            (grouped(visible.count), duration(visible.p50), duration(visible.p99));
        let noun = if visible.count == 1 { "edit" } else { "edits" };
        let way = way(speed.from);
        let _ = writeln!(text, "{way}  {edits} {noun}, visible p50 {p50}, p99 {p99}");
    }
    text
}

/// How one edit travelled: the whole, then its parts.
#[must_use]
pub fn trace(trace: &Trace) -> String {
    let agreed = match trace.until_agreed() {
        Some(took) => format!("agreed after {}", duration(took)),
        None => "not agreed on yet".to_owned(),
    };
    let visible = duration(trace.stages.until_visible());
    let (way, time) = (way(trace.from), trace.time.local());
    let mut text = format!("last edit: {way}, {time}, visible after {visible}, {agreed}\n");
    let parts = trace.stages.named().map(|(name, took)| (name, *took));
    let parts = parts.into_iter().chain(trace.agreed.map(|took| ("agreed", took)));
    let parts: Vec<String> =
        parts.map(|(name, took)| format!("{name} {}", duration(took))).collect();
    let _ = writeln!(text, "its parts: {}", parts.join(", "));
    text
}

fn way(from: Side) -> &'static str {
    match from {
        Side::A => "a → b",
        Side::B => "b → a",
    }
}

/// `90 µs`, `0.9 ms`, `42 ms`, `1.5 s`.
fn duration(took: Micros) -> String {
    let micros = took.get();
    match micros {
        0..100 => format!("{micros} µs"),
        100..9_950 => format!("{:.1} ms", micros as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_at_a_glance() {
        let shown = |micros: u64| duration(Micros::from(micros));
        let all = [0, 99, 100, 949, 3_149, 9_949, 9_950, 42_400, 999_499, 999_500, 3_599_000_000];
        let words = ["0 µs", "99 µs", "0.1 ms", "0.9 ms", "3.1 ms", "9.9 ms", "10 ms", "42 ms"];
        let more = ["999 ms", "1.0 s", "3599.0 s"];
        assert_eq!(all.map(shown).to_vec(), [words.as_slice(), more.as_slice()].concat());
        let counts = [7, 204, 1_204, 123_456, 1_234_567].map(grouped);
        assert_eq!(counts, ["7", "204", "1,204", "123,456", "1,234,567"]);
    }
}
