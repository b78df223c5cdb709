//! What is said over the links, as bytes and back.

use anyhow::{Result, bail};
use common::change::{Change, Operation};
use common::entry::Kind;
use common::time::Timestamp;
use common::wire::cbor;
use common::wire::client::{Answer, Generation, Link, ListingPart, ListingRow, State};
use common::wire::message::{Content, Observation, Order, OrderId, PeerMessage, Report, Row};

use super::{Ground, Work, made};
use crate::dice::Dice;

/// Bytes of the content in each message.
const CONTENT_BYTES: usize = 1024;
/// Rows in each part of a listing.
const ROWS_EACH: usize = 1000;

/// By turns what B tells of an edit, and what A orders because of one.
fn message(number: usize, dice: &mut Dice) -> Result<PeerMessage> {
    let (path, after) = (made::path(number)?, Some(made::file(dice)));
    let content = dice.bytes(CONTENT_BYTES);
    if number.is_multiple_of(2) {
        let row = Row { path, entry: after, content: Some(content.into()), seen: None };
        let observation = Observation { rows: vec![row], ..Observation::default() };
        return Ok(PeerMessage::Report(Report::Observed(observation)));
    }
    let change = Change { path, before: Some(made::file(dice)), after, copy: None };
    Ok(PeerMessage::Order(Order::Commit {
        id: OrderId(number as u64),
        operation: Operation::Change(change),
        content: Content::Inline(content.into()),
    }))
}

fn messages(ground: &mut Ground, count: usize) -> Result<Vec<PeerMessage>> {
    (0..count).map(|number| message(number, &mut ground.dice)).collect()
}

/// Messages into bytes.
pub(super) fn encode(ground: &mut Ground, count: usize) -> Result<Box<dyn Work>> {
    let messages = messages(ground, count)?;
    Ok(Box::new(move || {
        let mut done = 0;
        for message in &messages {
            done += usize::from(cbor::to_vec(message)?.len() > CONTENT_BYTES);
        }
        Ok(done)
    }))
}

/// Bytes into messages.
pub(super) fn decode(ground: &mut Ground, count: usize) -> Result<Box<dyn Work>> {
    let messages = messages(ground, count)?;
    let bytes = messages.iter().map(cbor::to_vec).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move || {
        let mut done = 0;
        for bytes in &bytes {
            match cbor::from_slice::<PeerMessage>(bytes)? {
                PeerMessage::Order(_) | PeerMessage::Report(_) => done += 1,
                other => bail!("not what was written: {other:?}"),
            }
        }
        Ok(done)
    }))
}

/// The rows of a listing into bytes, in the parts in which a client gets them.
pub(super) fn list(ground: &mut Ground, rows: usize) -> Result<Box<dyn Work>> {
    let mut parts = Vec::new();
    for first in (0..rows).step_by(ROWS_EACH) {
        let numbers = first..(first + ROWS_EACH).min(rows);
        let rows = numbers.map(|n| row(n, &mut ground.dice)).collect::<Result<Vec<_>>>()?;
        let generation = Generation { epoch: 1, number: 1 };
        let part = ListingPart { generation, b: Link::Connected, rows, last: false };
        parts.push(Answer::Listing(part));
    }
    Ok(Box::new(move || {
        let mut done = 0;
        for part in &parts {
            done += usize::from(cbor::to_vec(part)?.len() > ROWS_EACH) * ROWS_EACH;
        }
        Ok(done)
    }))
}

fn row(number: usize, dice: &mut Dice) -> Result<ListingRow> {
    let entry = made::file(dice);
    let time = Timestamp { seconds: 1_600_000_000, nanos: 123_456_789 };
    Ok(ListingRow {
        path: made::path(number)?,
        kind: Kind::File,
        size: entry.size(),
        modified: entry.modified().unwrap_or(time),
        state: State::Agreed,
        lock: None,
        held: 0,
    })
}
