//! CBOR that was edited as a value: other numbers, kinds, lengths and nestings at any place of it,
//! where an edit of single bytes would nearly always be no CBOR any more.

use ciborium::Value;

use crate::fuzzing::byte;

/// Numbers at which readers go wrong.
const NUMBERS: [i128; 8] =
    [0, -1, 255, 1 << 31, u32::MAX as i128, i64::MIN as i128, u64::MAX as i128, 1 << 63];

/// What is larger is edited no more, in bytes.
const BYTES_MAX: usize = 16 * 1024;

/// Edits, each of a place, a deed and an amount, after their number; then CBOR. `None`: it is none.
pub(crate) fn edited(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let count = byte(bytes) % 8;
    let edits: Vec<[u8; 3]> = (0..count).map(|_| [(); 3].map(|()| byte(bytes))).collect();
    let mut value: Value = ciborium::from_reader(*bytes).ok()?;
    for [place, deed, amount] in edits {
        // Repeated often enough, anything is too large for any memory.
        if weight(&value) > BYTES_MAX {
            break;
        }
        let all = count_of(&value);
        let other = nth(&mut value, &mut (usize::from(amount) % all))?.clone();
        let at = nth(&mut value, &mut (usize::from(place) % all))?;
        edit(at, deed, usize::from(amount), other);
    }
    let mut out = Vec::new();
    ciborium::into_writer(&value, &mut out).ok()?;
    Some(out)
}

fn edit(at: &mut Value, deed: u8, amount: usize, other: Value) {
    let old = std::mem::replace(at, Value::Null);
    *at = match (deed % 13, old) {
        (0, _) => Value::Null,
        (1, _) => {
            Value::Integer(NUMBERS[amount % NUMBERS.len()].try_into().unwrap_or_else(|_| 7.into()))
        }
        (2, Value::Bytes(bytes)) => Value::Bytes(bytes.repeat(amount)),
        (2, _) => Value::Bytes(vec![b'/'; amount]),
        (3, Value::Text(text)) => Value::Text(text.repeat(amount % 16)),
        (3, _) => Value::Text("\u{202e}\u{1b}[2J".repeat(amount % 8)),
        (4, Value::Array(items)) => {
            let again = items.iter().cycle().take(items.len() * (amount % 16));
            Value::Array(again.cloned().collect())
        }
        (5, Value::Array(mut items)) if !items.is_empty() => {
            items.remove(amount % items.len());
            Value::Array(items)
        }
        (5, Value::Map(mut fields)) if !fields.is_empty() => {
            fields.remove(amount % fields.len());
            Value::Map(fields)
        }
        (6, old) => (0..amount % 20).fold(old, |inner, _| Value::Array(vec![inner])),
        (7, old) => Value::Tag(amount as u64, Box::new(old)),
        (8, _) => other,
        (9, Value::Map(mut fields)) => {
            fields.push((Value::Text("later".to_owned()), other));
            Value::Map(fields)
        }
        (10, Value::Map(mut fields)) if !fields.is_empty() => {
            let twice = fields[amount % fields.len()].clone();
            fields.push(twice);
            Value::Map(fields)
        }
        (11, _) => Value::Float(f64::from_bits((amount as u64) << 52)),
        (_, old) => old,
    };
}

fn weight(value: &Value) -> usize {
    1 + match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Map(fields) => fields.iter().map(|(_, value)| weight(value)).sum(),
        Value::Tag(_, inner) => weight(inner),
        _ => 8,
    }
}

fn count_of(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_of).sum(),
        Value::Map(fields) => fields.iter().map(|(_, value)| count_of(value)).sum(),
        Value::Tag(_, inner) => count_of(inner),
        _ => 0,
    }
}

/// The value at a place, in the order in which they are written, without names of fields.
fn nth<'v>(value: &'v mut Value, place: &mut usize) -> Option<&'v mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, place)),
        Value::Map(fields) => fields.iter_mut().find_map(|(_, value)| nth(value, place)),
        Value::Tag(_, inner) => nth(inner, place),
        _ => None,
    }
}
