//! Frames: a stream that arrives in any pieces is the same frames, and takes no memory before its
//! lengths are known to be lawful.

use common::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use common::wire::frame::{FrameError, Inbox, PREFIX_BYTES, begin, finish};

use crate::fuzzing::{Target, byte};

/// The limit, how the stream is cut, the stream.
pub(crate) const TARGET: Target = Target { name: "frames", run, seeds, mutants: 4000 };

const LIMITS: [usize; 4] = [100, HELLO_BYTES_MAX, 70_000, FRAME_BYTES_MAX];

type Heard = (Vec<Vec<u8>>, Result<Vec<u8>, FrameError>);

fn run(mut bytes: &[u8]) -> bool {
    let limit = LIMITS[usize::from(byte(&mut bytes)) % LIMITS.len()];
    let count = usize::from(byte(&mut bytes)).min(bytes.len());
    let (cuts, stream) = bytes.split_at(count);
    let whole = hear(limit, std::iter::once(stream));
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle().take(cuts.len() * 8) {
        let (piece, after) = rest.split_at((usize::from(*cut) + 1).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    let heard = hear(limit, pieces.into_iter());
    assert_eq!(heard, whole, "however it is split");
    let mut again = Vec::new();
    for body in &whole.0 {
        let mut frame = begin();
        frame.extend_from_slice(body);
        finish(&mut frame, limit).expect("a body that arrived can be sent");
        again.extend(frame);
    }
    if let Ok(rest) = &whole.1 {
        again.extend(rest);
    }
    assert_eq!(again, stream[..again.len()], "what was heard is what was said");
    !whole.0.is_empty()
}

/// The frames of a stream, and what is left or why it ends.
fn hear<'a>(limit: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut inbox = Inbox::default();
    let mut bodies = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let room = match inbox.room(limit) {
                Ok(room) => room,
                Err(error) => return (bodies, Err(error)),
            };
            let space = room.capacity() - room.len();
            assert!(space > 0, "there is room to go on");
            assert!(room.capacity() <= 2 * (PREFIX_BYTES + limit).max(64 * 1024), "no more room");
            let (now, later) = piece.split_at(space.min(piece.len()));
            room.extend_from_slice(now);
            piece = later;
            loop {
                match inbox.take(limit) {
                    Ok(Some(body)) => bodies.push(body.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (bodies, Err(error)),
                }
            }
        }
    }
    (bodies, Ok(inbox.rest().to_vec()))
}

fn seeds() -> Vec<Vec<u8>> {
    let framed = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
    let stream = [framed(b"one"), framed(b"2"), framed(&[7; 90])].concat();
    let split = |head: &[u8], stream: &[u8]| [head, stream].concat();
    vec![
        split(&[0, 0], &stream),
        split(&[1, 3, 0, 4, 1], &stream),
        split(&[3, 1, 200], &framed(&[1; 3000])),
        split(&[0, 1, 0], &[stream.clone(), vec![0, 0, 0, 0]].concat()),
        split(&[0, 1, 6], &[stream, vec![0, 0, 1, 0, 9]].concat()),
    ]
}
