//! Counter-based random numbers: the i-th number of a stream is a function of (seed, stream, i) alone, so the
//! same bits come out at any thread count, in any order and across a resume.
//!
//! The generator is Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011).

const MULTIPLY: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox 4x32.
///
/// ```
/// // A known answer of the reference implementation (Random123, kat_vectors).
/// let out = rhyton_tensor::rng::philox([0; 4], [0; 2]);
/// assert_eq!(out, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
#[inline(always)]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLY[0]) * u64::from(counter[0]);
        let p1 = u64::from(MULTIPLY[1]) * u64::from(counter[2]);
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Four random words: block `block` of stream `stream` at step `step` under `seed`.
#[inline(always)]
pub fn block(seed: u32, step: u32, stream: u32, block: u64) -> [u32; 4] {
    philox([block as u32, (block >> 32) as u32, stream, step], [seed, 0x5EED])
}

/// A float in [0, 1) with 24 random bits.
#[inline(always)]
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Two independent standard normal numbers from two words (Box and Muller, 1958).
#[inline(always)]
pub fn normal_pair(a: u32, b: u32) -> [f32; 2] {
    let (cos, sin) = turned(f64::from(unit_f32(b)));
    let r = (-2.0 * ln(1.0 - f64::from(unit_f32(a)))).sqrt();
    [(r * cos) as f32, (r * sin) as f32]
}

// The logarithm and the circle are computed here by additions, products, quotients and roots alone, which every
// platform rounds alike; the functions of its own library differ in the last bit.

/// A polynomial with these coefficients, the highest first.
#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    coefficients.into_iter().fold(0.0, |sum, c| sum * x + c)
}

/// The natural logarithm of a normal positive number. With u = 2^e m and m near 1, it is e ln 2 + 2 artanh(s) for
/// s = (m - 1) / (m + 1), and |s| is at most 0.172.
#[inline(always)]
fn ln(u: f64) -> f64 {
    let bits = u.to_bits();
    let (exponent, m) = ((bits >> 52) as i32 - 1023, f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52)));
    let (exponent, m) = if m > std::f64::consts::SQRT_2 { (exponent + 1, m * 0.5) } else { (exponent, m) };
    let s = (m - 1.0) / (m + 1.0);
    const ARTANH: [f64; 10] = [
        2.0 / 19.0,
        2.0 / 17.0,
        2.0 / 15.0,
        2.0 / 13.0,
        2.0 / 11.0,
        2.0 / 9.0,
        2.0 / 7.0,
        2.0 / 5.0,
        2.0 / 3.0,
        2.0,
    ];
    f64::from(exponent) * std::f64::consts::LN_2 + s * polynomial(s * s, ARTANH)
}

/// Cosine and sine of a part of a full turn, from 0 to 1. Within an eighth of a turn of the nearest quarter the first
/// terms of the series are exact to the last bits.
#[inline(always)]
fn turned(part: f64) -> (f64, f64) {
    let quarter = (4.0 * part + 0.5) as i32;
    let x = std::f64::consts::TAU * (part - 0.25 * f64::from(quarter));
    // One over the factorials of 15, 13, .. and of 16, 14, ..
    const SIN: [f64; 8] = [
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
        1.0,
    ];
    const COS: [f64; 9] = [
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -0.5,
        1.0,
    ];
    let (sin, cos) = (x * polynomial(x * x, SIN), polynomial(x * x, COS));
    match quarter % 4 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// A sequential reader of one stream, for initializers and shuffles on the host.
#[derive(Clone, Debug)]
pub struct Stream {
    seed: u32,
    step: u32,
    stream: u32,
    at: u64,
    words: [u32; 4],
}

impl Stream {
    /// The numbers of (`seed`, `step`, `stream`) from the first on.
    pub fn new(seed: u64, step: u32, stream: u32) -> Stream {
        let folded = (seed as u32) ^ ((seed >> 32) as u32).rotate_left(16);
        Stream { seed: folded, step, stream, at: 0, words: [0; 4] }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let lane = (self.at % 4) as usize;
        if lane == 0 {
            self.words = block(self.seed, self.step, self.stream, self.at / 4);
        }
        self.at += 1;
        self.words[lane]
    }

    /// A float in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        unit_f32(self.next_u32())
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f32 {
        let (a, b) = (self.next_u32(), self.next_u32());
        normal_pair(a, b)[0]
    }

    /// An integer in `0..n` without bias; `n` must be positive.
    pub fn below(&mut self, n: u32) -> u32 {
        let zone = u32::MAX - (u32::MAX - n + 1) % n;
        loop {
            let x = self.next_u32();
            if x <= zone {
                return x % n;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(u32::try_from(i + 1).unwrap_or(u32::MAX)) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut s = Stream::new(7, 0, 1);
        let n = 100_000;
        let u: f64 = (0..n).map(|_| f64::from(s.uniform())).sum::<f64>() / f64::from(n);
        assert!((u - 0.5).abs() < 0.005, "{u}");
        let z: Vec<f64> = (0..n).map(|_| f64::from(s.normal())).collect();
        let mean = z.iter().sum::<f64>() / f64::from(n);
        let var = z.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "{mean} {var}");
    }

    #[test]
    fn logarithm_and_circle_are_those_of_the_library_but_for_the_last_bits() {
        let mut s = Stream::new(3, 0, 1);
        let words = [0, 1, 1 << 8, u32::MAX, 1 << 31, 3 << 30].into_iter();
        for word in words.chain((0..100_000).map(|_| s.next_u32())) {
            let part = f64::from(unit_f32(word));
            let (have, want) = (ln(1.0 - part), (1.0 - part).ln());
            assert!((have - want).abs() <= 4e-16 * want.abs(), "ln of 1 - {part}: {have}, not {want}");
            let ((cos, sin), (s, c)) = (turned(part), (std::f64::consts::TAU * part).sin_cos());
            assert!((cos - c).abs() < 1e-15 && (sin - s).abs() < 1e-15, "{part} of a turn");
        }
    }

    #[test]
    fn normal_numbers_have_the_same_bits_on_every_platform() {
        let mut s = Stream::new(1, 2, 3);
        let sum = (0..10_000).fold(0u64, |sum, _| {
            sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(s.normal().to_bits()))
        });
        assert_eq!(sum, 5_870_692_384_452_004_697, "a program in another language gave this, too");
    }

    #[test]
    fn shuffle_is_a_permutation_that_depends_on_the_seed() {
        let run = |seed| {
            let mut v: Vec<u32> = (0..100).collect();
            Stream::new(seed, 0, 0).shuffle(&mut v);
            v
        };
        let (a, b) = (run(1), run(2));
        assert_ne!(a, b);
        let mut sorted = a;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
}
