//! Rows into parts that a message can carry.

use crate::limits::{INLINE_PER_MESSAGE_MAX, ROWS_PER_MESSAGE_MAX};

/// Splits rows, whose paths and texts take so many bytes each. There is at least one part.
#[must_use]
pub fn parts<T>(rows: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for row in rows {
        size += bytes(&row);
        if part.len() == ROWS_PER_MESSAGE_MAX || size > INLINE_PER_MESSAGE_MAX {
            size = bytes(&row);
            // A row that is too large for any other is a part of its own.
            if !part.is_empty() {
                parts.push(std::mem::take(&mut part));
            }
        }
        part.push(row);
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_in_rows_and_bytes_and_lose_nothing() {
        assert_eq!(parts(Vec::new(), |_: &usize| 1), [Vec::<usize>::new()]);
        let many: Vec<usize> = (0..2 * ROWS_PER_MESSAGE_MAX + 1).collect();
        let split = parts(many.clone(), |_| 1);
        assert_eq!(split.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 1]);
        assert_eq!(split.concat(), many);
        let large = parts(vec![INLINE_PER_MESSAGE_MAX + 1, 1, INLINE_PER_MESSAGE_MAX, 1], |n| *n);
        assert_eq!(large.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
    }
}
