//! Every bound of the system in one place.
//!
//! A bound that crosses the wire or guards memory is named here, with its unit last, so that the
//! relations between them can be checked at compile time.

/// Longest path component, in bytes: the kernel's `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest path that we carry, in bytes. Far above `PATH_MAX`: we walk by directory handles.
pub const PATH_BYTES_MAX: usize = 64 * 1024;
/// Longest symbolic link target, in bytes: `PATH_MAX`.
pub const LINK_BYTES_MAX: usize = 4096;
/// The reserved name in a root. Nothing with this first component is ever synchronized.
pub const RESERVED_NAME: &[u8] = b".lab3";

/// Content of at most this size travels inside the message that announces it.
pub const INLINE_BYTES_MAX: u64 = 64 * 1024;
/// Content is read, sent and written in pieces of at most this size.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Pieces that one transfer may have asked for and not yet received.
pub const PIECES_IN_FLIGHT_MAX: usize = 16;
/// Files below this size are never sent as chunks against an older version.
pub const DELTA_BYTES_MIN: u64 = 1024 * 1024;

/// Largest frame before the handshake is over, in bytes.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Largest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Rows in one message of an inventory, an observation or a listing.
pub const ROWS_PER_MESSAGE_MAX: usize = 1000;
/// Versions in trash that a side names at once.
pub const TRASH_ROWS_MAX: usize = 10_000;
/// Names, link targets and content in one message of rows, in bytes, beside the last of them.
pub const PART_BYTES_MAX: usize = 512 * 1024;
/// Inline content in one message of rows, in bytes.
pub const INLINE_PER_MESSAGE_MAX: usize = 1024 * 1024;
/// Names and targets in one part of a comparison, in bytes, beside the last of them.
pub const COMPARED_BYTES_MAX: usize = 512 * 1024;
/// Paths that a comparison may except.
pub const EXCEPTIONS_MAX: usize = 10_000;
/// … and their bytes.
pub const EXCEPTION_BYTES_MAX: usize = 1024 * 1024;

/// What one side says of a problem, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// A comment on a lock, in bytes.
pub const COMMENT_BYTES_MAX: usize = 4096;
/// The name of who holds a lock, in bytes.
pub const HOLDER_BYTES_MAX: usize = 256;
/// Locks that there may be at once.
pub const LOCKS_MAX: usize = 100_000;

/// Rows and problems that the tree of B may have. With more, A does not go on with it.
pub const PEER_ROWS_MAX: usize = 20_000_000;
/// What B tells of its tree after a link was made, in bytes, until it has told everything.
pub const PEER_TELLS_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Reports of B that wait until A has heard them, in bytes. While there are more, A does not read
/// from the link.
pub const MAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Reports that wait to leave over a link, in bytes: whoever lets more wait is not there.
pub const NEWS_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Orders that B has from its coordinator and has not answered. Who gives more is none.
pub const ORDERS_MAX: usize = 4 * CHANGES_IN_FLIGHT_MAX;
/// Questions for content that one end has not answered yet. Who asks more is no peer.
pub const ASKS_MAX: usize = 4 * CHANGES_IN_FLIGHT_MAX;
/// Orders that look, compare or list, and wait to be carried out. While there are more, B does not
/// read from the link.
pub const LOOKS_MAX: usize = 256;
/// No chunk of a content is shorter, but the last.
pub const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// Chunks that are taken over of one content: a terabyte. What has more is fetched as a whole.
pub const CHUNKS_MAX: usize = 16 * 1024 * 1024;

/// Of a disk so much stays free for its user, in percent of its size, …
pub const SPARED_PERCENT: u64 = 1;
/// … but not more than so many bytes …
pub const SPARED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// … and inodes.
pub const SPARED_NAMES_MAX: u64 = 10_000;

/// Paths that are made durable one by one. For more, one flush of the file system is cheaper.
pub const FLUSHED_SINGLY_MAX: usize = 16;

/// A duration that one end measured and told the other counts as at most this, in microseconds: an
/// hour.
pub const TOLD_MICROS_MAX: u64 = 3_600_000_000;

/// A directory that goes with all that is in it as one has at least so many rows below it …
pub const CLEARED_ROWS_MIN: usize = 8;
/// … and at most so many: nothing else is carried out on its thread meanwhile.
pub const CLEARED_ROWS_MAX: usize = 10_000;

/// Changes that may be under way at one side.
pub const CHANGES_IN_FLIGHT_MAX: usize = 1024;

/// A file that stays open for writing is taken when it was quiet for this long, in milliseconds.
pub const QUIET_MS: u64 = 100;
/// … and at the latest this long after its first unseen write, in milliseconds.
pub const STALE_MS: u64 = 1000;

const _: () = assert!(PIECE_BYTES_MAX + HELLO_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX as usize <= PIECE_BYTES_MAX);
const _: () = assert!(COMPARED_BYTES_MAX + ROWS_PER_MESSAGE_MAX * 512 < FRAME_BYTES_MAX);
const _: () = assert!(INLINE_PER_MESSAGE_MAX + PATH_BYTES_MAX < FRAME_BYTES_MAX);
// A part of rows, with the last of them, and what it costs to write a row down.
const _: () = assert!(
    PART_BYTES_MAX
        + 2 * PATH_BYTES_MAX
        + INLINE_BYTES_MAX as usize
        + LINK_BYTES_MAX
        + DETAIL_BYTES_MAX
        + ROWS_PER_MESSAGE_MAX * 512
        < FRAME_BYTES_MAX
);
const _: () = assert!(FRAME_BYTES_MAX < MAIL_BYTES_MAX);
const _: () = assert!((FLUSHED_SINGLY_MAX + 1) * PATH_BYTES_MAX < FRAME_BYTES_MAX);
