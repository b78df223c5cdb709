//! Whether hints come so fast that it pays to let some more arrive before the next look.
//!
//! Whatever is looked at singly, is told, ordered, flushed and noted singly, too. While a whole
//! tree is unpacked or removed that takes the processor from whoever does it. So time is cut into
//! windows: when one had hints of many paths, the rest of it, and the next one, are waited for.
//! What a person does concerns a few paths, and waits for nothing.

use crate::time::Moment;

/// A window is this long, in milliseconds. Nothing waits longer.
const WINDOW_MS: u64 = 20;
/// So many paths with hints in a window are no burst yet.
const FEW: u32 = 16;

/// Of how many paths hints came of late.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// When the window ends.
    end: Moment,
    paths: u32,
    /// Whether the window before it had many.
    follows: bool,
}

impl Burst {
    /// The first hint of a path came, since it was last looked at.
    pub(super) fn note(&mut self, now: Moment) {
        if now >= self.end {
            let next = now < self.end.after_ms(WINDOW_MS);
            self.follows = next && self.paths > FEW;
            self.paths = 0;
            self.end = now.after_ms(WINDOW_MS);
        }
        self.paths = self.paths.saturating_add(1);
    }

    /// For how many milliseconds more hints are waited for.
    pub(super) fn patience(&self, now: Moment) -> u64 {
        let many = self.follows || self.paths > FEW;
        if many { self.end.ms_since(now) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The burst after so many hints at each of these moments.
    fn after(hints: &[(u64, u32)]) -> Burst {
        let mut burst = Burst::default();
        for &(ms, count) in hints {
            (0..count).for_each(|_| burst.note(Moment(ms)));
        }
        burst
    }

    #[test]
    fn an_edit_waits_for_nothing_however_often_it_comes() {
        let steady: Vec<(u64, u32)> = (0..1000).map(|n| (n * WINDOW_MS / 2, FEW / 2)).collect();
        for upto in 1..steady.len() {
            let now = Moment(steady[upto - 1].0);
            assert_eq!(after(&steady[..upto]).patience(now), 0);
        }
    }

    #[test]
    fn a_burst_is_gathered_from_window_to_window_and_ends_with_the_last() {
        let many = FEW + 1;
        let burst = after(&[(100, many)]);
        assert_eq!(burst.patience(Moment(103)), WINDOW_MS - 3);
        assert_eq!(burst.patience(Moment(100 + WINDOW_MS)), 0, "the window is over");
        let burst = after(&[(100, many), (122, 1)]);
        assert_eq!(burst.patience(Moment(122)), WINDOW_MS, "it goes on");
        let burst = after(&[(100, many), (122, 1), (143, 1)]);
        assert_eq!(burst.patience(Moment(143)), 0, "it was over in the window before");
        let burst = after(&[(100, many), (140, 1)]);
        assert_eq!(burst.patience(Moment(140)), 0, "there was a pause");
    }
}
