//! The printable id of a public key: short enough to read out, long enough to pin.
//!
//! 22 bytes of the key's digest and three that check them, as eight groups of five letters and
//! digits. Nobody finds another key with the same 176 bits, and a slip of the pen is noticed.

use std::fmt;

use crate::digest::Digest;

/// Bytes of the digest that an id has.
const PIN_BYTES: usize = 22;
/// Bytes with those that check the others.
const BYTES: usize = 25;
const GROUP: usize = 5;
const CHARS: usize = BYTES * 8 / 5;
/// RFC 4648: no digit of it can be taken for a letter of it.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Which key somebody has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; PIN_BYTES]);

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has too many letters, too few, or others.
    #[error("an id is 40 letters and digits, as `lab3 id` prints them")]
    Shape,
    /// What checks it does not fit.
    #[error("the id has a typing error: its letters do not fit together")]
    Check,
}

impl Id {
    /// The id of a public key.
    #[must_use]
    pub fn of(key: &[u8; 32]) -> Id {
        let digest = Digest::of(&[b"lab3 identity ".as_slice(), key].concat());
        let mut pin = [0; PIN_BYTES];
        pin.copy_from_slice(&digest.0[..PIN_BYTES]);
        Id(pin)
    }

    /// Reads an id, in small or large letters, with dashes or blanks anywhere or nowhere.
    pub fn parse(text: &str) -> Result<Id, IdError> {
        let mut bytes = [0; BYTES];
        let mut at = 0;
        for letter in text.bytes().filter(|letter| !matches!(letter, b'-' | b' ')) {
            let upper = letter.to_ascii_uppercase();
            let value = ALPHABET.iter().position(|a| *a == upper).ok_or(IdError::Shape)?;
            if at == CHARS {
                return Err(IdError::Shape);
            }
            for bit in 0..5 {
                let to = at * 5 + bit;
                bytes[to / 8] |= ((value >> (4 - bit) & 1) as u8) << (7 - to % 8);
            }
            at += 1;
        }
        if at != CHARS {
            return Err(IdError::Shape);
        }
        let mut pin = [0; PIN_BYTES];
        pin.copy_from_slice(&bytes[..PIN_BYTES]);
        let id = Id(pin);
        if id.bytes() == bytes { Ok(id) } else { Err(IdError::Check) }
    }

    /// The first group, for names of files: enough to tell a few apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..2 * GROUP + 1].to_owned()
    }

    fn bytes(&self) -> [u8; BYTES] {
        let check = Digest::of(&[b"lab3 check ".as_slice(), &self.0].concat());
        let mut bytes = [0; BYTES];
        bytes[..PIN_BYTES].copy_from_slice(&self.0);
        bytes[PIN_BYTES..].copy_from_slice(&check.0[..BYTES - PIN_BYTES]);
        bytes
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        for at in 0..CHARS {
            if at > 0 && at % GROUP == 0 {
                f.write_str("-")?;
            }
            let bit = |from: usize| bytes[from / 8] >> (7 - from % 8) & 1;
            let value = (0..5).fold(0, |value, n| value << 1 | bit(at * 5 + n));
            write!(f, "{}", char::from(ALPHABET[usize::from(value)]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_in_any_spelling() {
        for byte in 0..=255 {
            let id = Id::of(&[byte; 32]);
            let text = id.to_string();
            assert_eq!(text.len(), CHARS + CHARS / GROUP - 1, "{text}");
            assert_eq!(Id::parse(&text), Ok(id));
            assert_eq!(Id::parse(&text.to_lowercase().replace('-', "")), Ok(id));
            assert_eq!(Id::parse(&format!(" {} ", text.replace('-', " - "))), Ok(id));
        }
        assert_ne!(Id::of(&[1; 32]), Id::of(&[2; 32]));
    }

    #[test]
    fn a_letter_that_is_wrong_or_two_that_changed_places_are_noticed() {
        let text = Id::of(&[7; 32]).to_string().replace('-', "");
        let letters = text.as_bytes();
        for at in 0..letters.len() {
            for other in ALPHABET.iter().filter(|other| **other != letters[at]) {
                let mut wrong = letters.to_vec();
                wrong[at] = *other;
                let wrong = String::from_utf8(wrong).expect("letters");
                assert_eq!(Id::parse(&wrong), Err(IdError::Check), "{wrong}");
            }
            let mut swapped = letters.to_vec();
            swapped.swap(at, (at + 1) % letters.len());
            if swapped != letters {
                let swapped = String::from_utf8(swapped).expect("letters");
                assert_eq!(Id::parse(&swapped), Err(IdError::Check), "{swapped}");
            }
        }
        for text in ["", "A", "x y", &text[1..], &format!("{text}A"), &text.replace('A', "ä")] {
            assert!(Id::parse(text).is_err(), "{text}");
        }
    }
}
