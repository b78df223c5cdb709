//! Whether an ordered map has grown so much that it is worth being made anew.
//!
//! What is added to a map one by one splits its nodes, and leaves them half empty: it takes up to
//! twice the memory that its rows need. Made anew from rows in order, its nodes are full.

use std::collections::BTreeMap;

/// So few rows are not worth it.
const ROWS_MIN: usize = 1000;

/// How many rows were added one by one since a map was last made anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grown(usize);

impl Grown {
    /// A row was added.
    pub fn add(&mut self) {
        self.0 += 1;
    }

    /// Makes the map anew where a good part of it was added one by one; answers whether it did.
    pub fn pack<K: Ord, V>(&mut self, map: &mut BTreeMap<K, V>) -> bool {
        let is_worth_it = self.0 >= ROWS_MIN && self.0 >= map.len() / 4;
        if is_worth_it {
            *self = Grown::default();
            *map = std::mem::take(map).into_iter().collect();
        }
        is_worth_it
    }
}

/// How a tree came about is no part of what it is.
impl PartialEq for Grown {
    fn eq(&self, _: &Grown) -> bool {
        true
    }
}

impl Eq for Grown {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_by_a_good_part_is_made_anew_and_stays_what_it_was() {
        let mut map: BTreeMap<usize, usize> = (0..8 * ROWS_MIN).map(|n| (2 * n, n)).collect();
        let mut grown = Grown::default();
        for n in 0..3 * ROWS_MIN {
            map.insert(2 * n + 1, n);
            grown.add();
            assert!(n > 2 * ROWS_MIN || !grown.pack(&mut map), "after {n} rows");
        }
        let whole = map.clone();
        assert!(grown.pack(&mut map));
        assert!(!grown.pack(&mut map), "it has just been made anew");
        assert_eq!(map, whole);
    }
}
