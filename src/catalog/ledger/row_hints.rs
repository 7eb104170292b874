//! Where the rows of an entry lay when they were found, in a few bytes: so that they are read again without a look into an
//! index. Hints, no more: a row may have moved since, and another may lie there.
//!
//! For each row two numbers, in 7-bit groups with the lowest first: the difference of its block from the one before
//! (zigzag: 0, -1, 1, -2 …) and its number in the block, 0 where its place is not known.

use crate::pg::tid::Tid;

/// The places in the stored form; None where none is known.
pub fn encode(places: &[Option<Tid>]) -> Option<Vec<u8>> {
    if places.iter().all(Option::is_none) {
        return None;
    }
    let (mut bytes, mut block) = (Vec::with_capacity(2 * places.len()), 0_i64);
    for place in places {
        let next = place.map_or(block, |place| i64::from(place.block));
        let difference = next - block;
        write(&mut bytes, ((difference << 1) ^ (difference >> 63)) as u64);
        write(&mut bytes, place.map_or(0, |place| u64::from(place.offset)));
        block = next;
    }
    Some(bytes)
}

/// So many places out of the stored form; none where it is not of so many.
pub fn decode(bytes: &[u8], count: usize) -> Vec<Option<Tid>> {
    let (mut rest, mut block) = (bytes, 0_i64);
    let mut next = || {
        let (difference, offset) = (read(&mut rest)?, read(&mut rest)?);
        block += (difference >> 1) as i64 ^ -((difference & 1) as i64);
        Some((u32::try_from(block).ok()?, u16::try_from(offset).ok()?))
    };
    let places: Option<Vec<_>> = (0..count).map(|_| next()).collect();
    match places.filter(|_| rest.is_empty()) {
        None => vec![None; count],
        Some(places) => {
            places.into_iter().map(|(block, offset)| (offset != 0).then_some(Tid { block, offset })).collect()
        }
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

#[cfg(test)]
mod tests {
    use super::{Tid, decode, encode};

    fn tid(block: u32, offset: u16) -> Option<Tid> {
        Some(Tid { block, offset })
    }

    #[test]
    fn places_come_back_as_they_were() {
        let places = [tid(7, 3), tid(7, 4), None, tid(0, 1), tid(u32::MAX - 1, u16::MAX), None, tid(5, 291)];
        let bytes = encode(&places).unwrap();
        assert_eq!(decode(&bytes, places.len()), places);
        assert_eq!(encode(&[None, None]), None);
    }

    #[test]
    fn neighbours_take_two_bytes() {
        let places: Vec<_> = (0..1000).map(|i| tid(100_000 + i / 10, (i % 10 + 1) as u16)).collect();
        assert!(encode(&places).unwrap().len() <= 2003);
    }

    #[test]
    fn what_does_not_fit_is_no_hint() {
        let bytes = encode(&[tid(7, 3), tid(8, 1)]).unwrap();
        for count in [0, 1, 3] {
            assert_eq!(decode(&bytes, count), vec![None; count]);
        }
        assert_eq!(decode(&[0xff; 40], 2), [None, None]);
        assert_eq!(decode(&[], 2), [None, None]);
        // Before block 0.
        assert_eq!(decode(&[1, 1], 1), [None]);
    }
}
