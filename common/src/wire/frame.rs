//! Frames: a length in four bytes, big-endian, then so many bytes.
//!
//! Pure: bytes go in as they arrive, split anywhere, and whole frames come out. The announced
//! length is compared with the limit before any memory is taken for it, and a frame of no bytes
//! is refused, so that a stream of zeros is not an endless stream of messages.

/// Bytes of the length in front of every frame.
pub const PREFIX_BYTES: usize = 4;

/// Memory that an [`Inbox`] keeps between frames, in bytes.
const KEPT_BYTES_MAX: usize = 512 * 1024;
/// Bytes that are read at once, when no frame is known to be longer.
const READ_BYTES: usize = 64 * 1024;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is zero.
    #[error("a frame is empty")]
    Empty,
    /// The length is above the limit.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// The announced or actual length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// Makes room for the length in front of a body that is yet to be written.
#[must_use]
pub fn begin() -> Vec<u8> {
    vec![0; PREFIX_BYTES]
}

/// Writes the length in front of what was put behind [`begin`].
pub fn finish(frame: &mut [u8], limit: usize) -> Result<(), FrameError> {
    let bytes = frame.len() - PREFIX_BYTES;
    match u32::try_from(bytes) {
        Ok(0) => Err(FrameError::Empty),
        Ok(length) if bytes <= limit => {
            frame[..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => Err(FrameError::TooLong { bytes, limit }),
    }
}

/// Bytes that have arrived and are not yet taken.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    /// The next whole frame's body, if it has arrived.
    pub fn take(&mut self, limit: usize) -> Result<Option<&[u8]>, FrameError> {
        let Some(length) = self.announced(limit)? else {
            return Ok(None);
        };
        let start = self.taken + PREFIX_BYTES;
        if self.bytes.len() - start < length {
            return Ok(None);
        }
        self.taken = start + length;
        Ok(Some(&self.bytes[start..start + length]))
    }

    /// The buffer to which arriving bytes are to be appended. It has room for what is missing of
    /// the next frame, and for no more than the limit allows.
    pub fn room(&mut self, limit: usize) -> Result<&mut Vec<u8>, FrameError> {
        let length = self.announced(limit)?;
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        let whole = match length {
            Some(length) => (PREFIX_BYTES + length).max(READ_BYTES.min(PREFIX_BYTES + limit)),
            None => READ_BYTES.min(PREFIX_BYTES + limit),
        };
        // More frames than one may have arrived together: there is always room to go on.
        let missing = whole.saturating_sub(self.bytes.len()).max(PREFIX_BYTES);
        self.bytes.reserve_exact(missing);
        Ok(&mut self.bytes)
    }

    /// What has arrived and is not yet taken.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn announced(&self, limit: usize) -> Result<Option<usize>, FrameError> {
        let Some((prefix, _)) = self.rest().split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        match u32::from_be_bytes(*prefix) as usize {
            0 => Err(FrameError::Empty),
            bytes if bytes > limit => Err(FrameError::TooLong { bytes, limit }),
            bytes => Ok(Some(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = begin();
        frame.extend_from_slice(body);
        finish(&mut frame, 100).expect("a short frame");
        frame
    }

    #[test]
    fn frames_come_out_whole_however_they_were_split() {
        let stream = [framed(b"one"), framed(b"2"), framed(&[7; 90])].concat();
        for cut in 0..=stream.len() {
            let mut inbox = Inbox::default();
            let mut bodies = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                inbox.room(100).expect("room").extend_from_slice(part);
                while let Some(body) = inbox.take(100).expect("frames") {
                    bodies.push(body.to_vec());
                }
            }
            assert_eq!(bodies, [b"one".to_vec(), b"2".to_vec(), vec![7; 90]], "cut at {cut}");
            assert!(inbox.rest().is_empty());
        }
    }

    #[test]
    fn a_hostile_length_takes_no_memory() {
        let mut inbox = Inbox::default();
        inbox.room(100).expect("room").extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 1]);
        let refused = FrameError::TooLong { bytes: 0xffff_ffff, limit: 100 };
        assert_eq!(inbox.take(100), Err(refused));
        assert_eq!(inbox.room(100).map(|room| room.capacity()), Err(refused));
        assert!(inbox.bytes.capacity() <= 2 * (PREFIX_BYTES + 100));
    }

    #[test]
    fn an_empty_frame_is_refused_at_both_ends() {
        assert_eq!(finish(&mut begin(), 100), Err(FrameError::Empty));
        let mut inbox = Inbox::default();
        inbox.room(100).expect("room").extend_from_slice(&[0; 4]);
        assert_eq!(inbox.take(100), Err(FrameError::Empty));
    }

    #[test]
    fn a_body_over_the_limit_is_never_sent() {
        let mut frame = begin();
        frame.extend_from_slice(&[1; 101]);
        assert_eq!(finish(&mut frame, 100), Err(FrameError::TooLong { bytes: 101, limit: 100 }));
    }

    #[test]
    fn a_long_frame_gives_its_memory_back() {
        let limit = 2 * 1024 * 1024;
        let mut frame = begin();
        frame.resize(PREFIX_BYTES + limit, 5);
        finish(&mut frame, limit).expect("at the limit");
        let mut inbox = Inbox::default();
        inbox.room(limit).expect("room").extend_from_slice(&frame);
        assert_eq!(inbox.take(limit).map(|body| body.map(<[u8]>::len)), Ok(Some(limit)));
        assert!(inbox.room(limit).expect("room").capacity() <= KEPT_BYTES_MAX);
    }
}
