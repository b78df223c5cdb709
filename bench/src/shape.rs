//! When bytes come out of a slow link: each after those before it, at the link's rate, and then a
//! delay later. Pure: times are seconds, and arrive as arguments.

use std::collections::VecDeque;

/// How slow a link is, each way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Bits in a second.
    pub(crate) bits: f64,
    /// Seconds on the way.
    pub(crate) delay: f64,
}

impl Shape {
    /// Seconds in which so many bytes go into the link.
    pub(crate) fn taking(&self, bytes: u64) -> f64 {
        bytes as f64 * 8.0 / self.bits
    }
}

/// One way of a link. What is in it is what has gone in and has not come out.
#[derive(Debug)]
pub(crate) struct Pipe {
    shape: Shape,
    /// When the last byte that was given will have gone in.
    free: f64,
    /// What is in it, and when it comes out.
    inside: VecDeque<(f64, Vec<u8>)>,
}

impl Pipe {
    /// An empty one.
    pub(crate) fn new(shape: Shape) -> Pipe {
        Pipe { shape, free: 0.0, inside: VecDeque::new() }
    }

    /// Gives bytes; answers when they have gone in. Before that no more should be given: a link
    /// has little room, and whoever sends must feel that.
    pub(crate) fn give(&mut self, now: f64, bytes: Vec<u8>) -> f64 {
        self.free = self.free.max(now) + self.shape.taking(bytes.len() as u64);
        self.inside.push_back((self.free + self.shape.delay, bytes));
        self.free
    }

    /// What has come out by now.
    pub(crate) fn take(&mut self, now: f64) -> Option<Vec<u8>> {
        self.next().filter(|out| *out <= now)?;
        self.inside.pop_front().map(|(_, bytes)| bytes)
    }

    /// When the next bytes come out.
    pub(crate) fn next(&self) -> Option<f64> {
        self.inside.front().map(|(out, _)| *out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_at_the_rate_and_a_delay_later() {
        // A kilobyte a second.
        let mut pipe = Pipe::new(Shape { bits: 8000.0, delay: 0.5 });
        assert_eq!(pipe.give(1.0, vec![1; 1000]), 2.0);
        assert_eq!(pipe.give(1.0, vec![2; 500]), 2.5);
        assert_eq!(pipe.next(), Some(2.5));
        assert_eq!(pipe.take(2.4), None);
        assert_eq!(pipe.take(2.5), Some(vec![1; 1000]));
        assert_eq!(pipe.take(2.9), None);
        assert_eq!(pipe.take(9.0), Some(vec![2; 500]));
        assert_eq!((pipe.take(9.0), pipe.next()), (None, None));
        assert_eq!(pipe.give(10.0, vec![3; 1000]), 11.0, "what was not used is not saved up");
    }
}
