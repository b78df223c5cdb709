//! Spans of time as people write them: `90s`, `2h`, `1h30m`, `1d`, `500ms`.

use std::time::Duration;

/// Reads a span. A number without a unit is seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let span = number.parse::<u64>().ok().and_then(|number| part(number, unit));
        total = span
            .and_then(|span| total.checked_add(span))
            .ok_or_else(|| "a span is written like `90s`, `15m`, `2h` or `1d`".to_owned())?;
        rest = after;
    }
    if text.is_empty() { Err("a span is missing".to_owned()) } else { Ok(total) }
}

/// Reads a span that is not zero.
pub fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        span if span < Duration::from_secs(1) => Err("at least one second is needed".to_owned()),
        span => Ok(span),
    }
}

fn part(number: u64, unit: &str) -> Option<Duration> {
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, ms) in [
            ("90s", 90_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("500ms", 500),
            ("30", 30_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "h", "2x", "-1s", "1.5h", "2h ", "99999999999999999999s", "s2"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("999999999999999999d").is_err());
        assert!(parse_some("0s").is_err() && parse_some("10ms").is_err());
    }
}
