//! Changes of bytes.

use rhyton_tensor::rng::Stream;

/// Whole numbers at which programs err.
pub const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x2_0000_0001,
    1 << 40,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// A number below `n`, or 0.
pub fn below(random: &mut Stream, n: usize) -> usize {
    random.below(u32::try_from(n).unwrap_or(u32::MAX).max(1)) as usize
}

/// One of [`NUMBERS`], or near one.
pub fn number(random: &mut Stream) -> u64 {
    let n = NUMBERS[below(random, NUMBERS.len())];
    match random.below(4) {
        0 => n.wrapping_add(1),
        1 => n.wrapping_sub(1),
        _ => n,
    }
}

/// `parent` after one to eight changes.
pub fn mutate(parent: &[u8], other: &[u8], random: &mut Stream) -> Vec<u8> {
    let mut bytes = parent.to_vec();
    for _ in 0..1 << random.below(4) {
        change(&mut bytes, other, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Stream) {
    let at = below(random, bytes.len());
    let most = 1 << random.below(10);
    let end = bytes.len().min(at + 1 + below(random, most));
    match random.below(13) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << random.below(8)),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = random.below(256) as u8),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = NUMBERS[below(random, 10)] as u8),
        3 | 4 => put_integer(bytes, at, random),
        5 => add_to_integer(bytes, at, random),
        6 | 7 => change_decimal(bytes, at, random),
        8 => bytes.truncate(at),
        9 => drop(bytes.drain(at..end)),
        10 => {
            let copy = bytes[at..end].to_vec();
            let to = below(random, bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        11 if !other.is_empty() => {
            let from = below(random, other.len());
            let piece = &other[from..other.len().min(from + end - at + 1)];
            // Over what is there, or between.
            let until = if random.below(2) == 0 { at } else { bytes.len().min(at + piece.len()) };
            bytes.splice(at..until, piece.iter().copied());
        }
        _ => {
            let fill = [0, 0xFF, b' ', b'9'][below(random, 4)];
            bytes.splice(at..at, std::iter::repeat_n(fill, end - at));
        }
    }
}

fn in_order(value: u64, width: usize, big: bool) -> Vec<u8> {
    let mut bytes = value.to_le_bytes()[..width].to_vec();
    if big {
        bytes.reverse();
    }
    bytes
}

/// A telling number of some width over what is at `at`: an extreme, a length or an offset of the file.
fn put_integer(bytes: &mut [u8], at: usize, random: &mut Stream) {
    let width = [1, 2, 4, 8][below(random, 4)];
    let value = match random.below(4) {
        0 => below(random, bytes.len() + 1) as u64,
        1 => (bytes.len() as u64).wrapping_add(u64::from(random.below(9))).wrapping_sub(4),
        _ => number(random),
    };
    let value = in_order(value, width, random.below(2) == 0);
    bytes.iter_mut().skip(at).zip(value).for_each(|(b, v)| *b = v);
}

/// Makes the number at `at` a little larger or smaller.
fn add_to_integer(bytes: &mut [u8], at: usize, random: &mut Stream) {
    let width = [1, 2, 4, 8][below(random, 4)];
    let big = random.below(2) == 0;
    let Some(there) = bytes.get_mut(at..at + width) else { return };
    let digits = there.iter().rev();
    let old = if big {
        there.iter().fold(0, |n: u64, b| n << 8 | u64::from(*b))
    } else {
        digits.fold(0, |n: u64, b| n << 8 | u64::from(*b))
    };
    let new = old.wrapping_add(u64::from(random.below(33))).wrapping_sub(16);
    there.copy_from_slice(&in_order(new, width, big));
}

/// Another number in place of the next one that is written in digits.
fn change_decimal(bytes: &mut Vec<u8>, at: usize, random: &mut Stream) {
    let is_digit = |i: &usize| bytes.get(*i).is_some_and(u8::is_ascii_digit);
    let Some(start) = (at..bytes.len().min(at + 256)).find(|i| is_digit(i)) else { return };
    let end = (start..bytes.len()).find(|i| !is_digit(i)).unwrap_or(bytes.len());
    bytes.splice(start..end, decimal(random).into_bytes());
}

/// A number as text.
pub fn decimal(random: &mut Stream) -> String {
    match random.below(10) {
        0 => format!("-{}", number(random)),
        1 => ["1e308", "-1e308", "1e-320", "0.5", "-0", "nan", "inf", "1e999"][below(random, 8)].into(),
        2 | 3 => random.below(20).to_string(),
        _ => number(random).to_string(),
    }
}

/// The bytes without piece number `step`: halves, then quarters, and so on to single bytes.
pub fn without(bytes: &[u8], step: usize) -> Option<Vec<u8>> {
    let (mut pieces, mut at) = (2, step);
    while at >= pieces {
        at -= pieces;
        pieces *= 2;
    }
    let size = bytes.len().div_ceil(pieces);
    // Beyond single bytes there is nothing to leave out.
    if size <= 1 && pieces >= 2 * bytes.len().max(1) {
        return None;
    }
    let start = (at * size).min(bytes.len());
    let end = (start + size).min(bytes.len());
    Some([&bytes[..start], &bytes[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_works_on_nothing_and_on_little() {
        let mut random = Stream::new(1, 0, 0);
        for start in [&b""[..], b"7", b"ab 12 \x00\xff"] {
            for _ in 0..20_000 {
                assert!(mutate(start, b"other", &mut random).len() < 20_000);
            }
        }
    }
}
