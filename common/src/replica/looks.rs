//! How many orders that look, compare or list are not carried out yet.
//!
//! None of them takes long to say and each may take long to do, so whoever gives them is not heard
//! further while there are many. A place is given back when what holds it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of orders that wait.
#[derive(Clone, Debug, Default)]
pub struct Looks(Arc<AtomicUsize>);

/// One order that waits, or is being carried out.
#[derive(Debug)]
pub struct Place(Looks);

impl Looks {
    /// One more.
    pub fn enter(&self) -> Place {
        self.0.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }

    /// How many there are.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same order once more is another one that waits.
impl Clone for Place {
    fn clone(&self) -> Place {
        self.0.enter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_waits_no_more() {
        let looks = Looks::default();
        let places = [looks.enter(), looks.enter()];
        let third = places[0].clone();
        assert_eq!(looks.waiting(), 3);
        drop(places);
        assert_eq!(looks.waiting(), 1);
        drop(third);
        assert_eq!(looks.waiting(), 0);
    }
}
