//! Where the rows of an entry lay when they were found, in a few bytes: so that they are read again without a look into an
//! index. Hints, no more: a row may have moved since, and another may lie there.
//!
//! For each row two numbers, in 7-bit groups with the lowest first: the difference of its block from the one before
//! (zigzag: 0, -1, 1, -2 …) and its number in the block, 0 where its place is not known.

/// A place in a table: its block from 0, and its number in the block from 1.
pub type Place = (u32, u16);

/// The places in the stored form; None where none is known.
///
/// ```
/// use text::row_hints::{decode, encode};
///
/// let places = [Some((7, 1)), None, Some((7, 2))];
/// assert_eq!(decode(&encode(&places).unwrap(), 3), places);
/// ```
pub fn encode(places: &[Option<Place>]) -> Option<Vec<u8>> {
    if places.iter().all(Option::is_none) {
        return None;
    }
    let (mut bytes, mut block) = (Vec::with_capacity(2 * places.len()), 0_i64);
    for place in places {
        let next = place.map_or(block, |place| i64::from(place.0));
        let difference = next - block;
        write(&mut bytes, ((difference << 1) ^ (difference >> 63)) as u64);
        write(&mut bytes, place.map_or(0, |place| u64::from(place.1)));
        block = next;
    }
    Some(bytes)
}

/// Decodes `count` places; all None where the stored form does not hold exactly so many.
pub fn decode(bytes: &[u8], count: usize) -> Vec<Option<Place>> {
    let (mut rest, mut block) = (bytes, 0_i64);
    let mut next = || {
        let (difference, offset) = (read(&mut rest)?, read(&mut rest)?);
        block += (difference >> 1) as i64 ^ -((difference & 1) as i64);
        Some((u32::try_from(block).ok()?, u16::try_from(offset).ok()?))
    };
    let places: Option<Vec<_>> = (0..count).map(|_| next()).collect();
    match places.filter(|_| rest.is_empty()) {
        None => vec![None; count],
        Some(places) => places.into_iter().map(|(block, offset)| (offset != 0).then_some((block, offset))).collect(),
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..42).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
