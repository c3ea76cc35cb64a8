//! Corruptions of pictures that nobody means: noise, blur, weather, digital artefacts, in five severities (after Hendrycks,
//! Dietterich 2019).

use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};

/// What happens to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Normal noise.
    GaussianNoise,
    /// Noise of counted light.
    ShotNoise,
    /// Pixels that are black or white.
    ImpulseNoise,
    /// A blur like a bell.
    GaussianBlur,
    /// A blur along a row.
    MotionBlur,
    /// White clouds.
    Fog,
    /// White specks that fall.
    Snow,
    /// More light.
    Brightness,
    /// Less contrast.
    Contrast,
    /// Coarse pixels.
    Pixelate,
    /// Rounded frequencies of blocks of eight, as JPEG.
    Jpeg,
}

impl Corruption {
    /// All.
    pub const ALL: [Corruption; 11] = [
        Corruption::GaussianNoise,
        Corruption::ShotNoise,
        Corruption::ImpulseNoise,
        Corruption::GaussianBlur,
        Corruption::MotionBlur,
        Corruption::Fog,
        Corruption::Snow,
        Corruption::Brightness,
        Corruption::Contrast,
        Corruption::Pixelate,
        Corruption::Jpeg,
    ];

    /// How strong each severity is.
    fn strengths(self) -> [f32; 5] {
        match self {
            Corruption::GaussianNoise => [0.04, 0.06, 0.08, 0.09, 0.10],
            Corruption::ShotNoise => [500.0, 250.0, 100.0, 75.0, 50.0],
            Corruption::ImpulseNoise => [0.01, 0.02, 0.03, 0.05, 0.07],
            Corruption::GaussianBlur => [0.4, 0.6, 0.7, 0.8, 1.0],
            Corruption::MotionBlur => [2.0, 3.0, 4.0, 5.0, 6.0],
            Corruption::Fog => [0.2, 0.5, 0.75, 1.0, 1.5],
            Corruption::Snow => [0.02, 0.04, 0.06, 0.08, 0.11],
            Corruption::Brightness => [0.05, 0.1, 0.15, 0.2, 0.3],
            Corruption::Contrast => [0.75, 0.5, 0.4, 0.3, 0.15],
            Corruption::Pixelate => [0.95, 0.9, 0.85, 0.75, 0.65],
            Corruption::Jpeg => [0.02, 0.04, 0.06, 0.08, 0.12],
        }
    }

    /// Pictures `[n, height, width, channels]` with values in [0, 1], corrupted with a severity from 1 to 5.
    ///
    /// # Errors
    /// When these are no such pictures, or there is no such severity.
    ///
    /// ```
    /// use rhyton_robust::corruptions::Corruption;
    /// use rhyton_tensor::Tensor;
    /// let x = Tensor::full([1, 8, 8, 3], 0.5f32);
    /// let foggy = Corruption::Fog.apply(&x, 3, 0)?;
    /// assert_eq!(foggy.shape(), x.shape());
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn apply(self, x: &Tensor, severity: usize, seed: u64) -> Result<Tensor> {
        let [n, height, width, channels] = *x.shape() else {
            return Err(Error::new(format!("pictures of shape {:?}", x.shape()))
                .expected("[n, height, width, channels]"));
        };
        let strength = *severity
            .checked_sub(1)
            .and_then(|s| self.strengths().get(s).copied())
            .as_ref()
            .ok_or_else(|| Error::new(format!("severity {severity}")).expected("1 to 5"))?;
        let mut values = x.to_vec::<f32>();
        let size = height * width * channels;
        for (i, picture) in values.chunks_mut(size.max(1)).take(n).enumerate() {
            let mut random = Stream::new(seed, i as u32, self as u32);
            let mut canvas = Canvas { height, width, channels, values: picture };
            canvas.corrupt(self, strength, &mut random);
            picture.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        }
        Tensor::new(x.shape().to_vec(), values)
    }
}

/// One picture.
struct Canvas<'a> {
    height: usize,
    width: usize,
    channels: usize,
    values: &'a mut [f32],
}

impl Canvas<'_> {
    fn corrupt(&mut self, how: Corruption, s: f32, random: &mut Stream) {
        match how {
            Corruption::GaussianNoise => self.values.iter_mut().for_each(|v| *v += s * random.normal()),
            // The normal approximation of a Poisson count.
            Corruption::ShotNoise => {
                self.values.iter_mut().for_each(|v| *v += (v.max(0.0) / s).sqrt() * random.normal())
            }
            Corruption::ImpulseNoise => {
                for v in self.values.iter_mut().filter(|_| random.uniform() < s).collect::<Vec<_>>() {
                    *v = if *v > 0.5 { 0.0 } else { 1.0 };
                }
            }
            Corruption::GaussianBlur => {
                let kernel: Vec<f32> = (-3..=3).map(|i| (-0.5 * (i as f32 / s).powi(2)).exp()).collect();
                self.blur(&kernel, true);
                self.blur(&kernel, false);
            }
            Corruption::MotionBlur => self.blur(&vec![1.0; 2 * s as usize + 1], false),
            Corruption::Fog => self.fog(s, random),
            Corruption::Snow => self.snow(s, random),
            Corruption::Brightness => self.values.iter_mut().for_each(|v| *v += s),
            Corruption::Contrast => {
                let mean = self.values.iter().sum::<f32>() / self.values.len().max(1) as f32;
                self.values.iter_mut().for_each(|v| *v = (*v - mean) * s + mean);
            }
            Corruption::Pixelate => self.pixelate(s),
            Corruption::Jpeg => self.jpeg(s),
        }
    }

    fn at(&self, y: usize, x: usize, c: usize) -> usize {
        (y * self.width + x) * self.channels + c
    }

    /// Each value becomes what `f` makes of the picture as it was.
    fn map(&mut self, f: impl Fn(&[f32], usize, usize, usize) -> f32) {
        let old = self.values.to_vec();
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..self.channels {
                    self.values[(y * self.width + x) * self.channels + c] = f(&old, y, x, c);
                }
            }
        }
    }

    /// Means along columns (`down`) or rows, weighted by a kernel around each pixel; borders are repeated.
    fn blur(&mut self, kernel: &[f32], down: bool) {
        let (height, width, channels, half) = (self.height, self.width, self.channels, kernel.len() / 2);
        let total: f32 = kernel.iter().sum();
        self.map(|old, y, x, c| {
            let near = |i: usize, at: usize, n: usize| (at + i).saturating_sub(half).min(n - 1);
            let of = |(i, k): (usize, &f32)| {
                let (y, x) = if down { (near(i, y, height), x) } else { (y, near(i, x, width)) };
                k * old[(y * width + x) * channels + c]
            };
            kernel.iter().enumerate().map(of).sum::<f32>() / total
        });
    }

    /// Clouds: noise of several sizes, smoothed between its points.
    fn fog(&mut self, s: f32, random: &mut Stream) {
        let mut clouds = vec![0f32; self.height * self.width];
        let mut weight = 0.5;
        for parts in [2usize, 4, 8] {
            let points: Vec<f32> = (0..(parts + 1) * (parts + 1)).map(|_| random.uniform()).collect();
            for (i, cloud) in clouds.iter_mut().enumerate() {
                let place = |at: usize, n: usize| at as f32 / n as f32 * parts as f32;
                let (y, x) = (place(i / self.width, self.height), place(i % self.width, self.width));
                let (y0, x0) = (y as usize, x as usize);
                let (fy, fx) = (y.fract(), x.fract());
                let p = |dy: usize, dx: usize| points[(y0 + dy) * (parts + 1) + x0 + dx];
                *cloud += weight
                    * ((p(0, 0) * (1.0 - fx) + p(0, 1) * fx) * (1.0 - fy)
                        + (p(1, 0) * (1.0 - fx) + p(1, 1) * fx) * fy);
            }
            weight *= 0.5;
        }
        for (i, v) in self.values.iter_mut().enumerate() {
            *v = (*v + s * clouds[i / self.channels]) / (1.0 + s * 0.5);
        }
    }

    fn snow(&mut self, s: f32, random: &mut Stream) {
        for y in 0..self.height {
            for x in 0..self.width {
                if random.uniform() < s {
                    // A flake is as long as its fall.
                    for y in y..self.height.min(y + 3) {
                        (0..self.channels)
                            .for_each(|c| self.values[(y * self.width + x) * self.channels + c] = 1.0);
                    }
                }
            }
        }
        self.values.iter_mut().for_each(|v| *v = *v * 0.9 + 0.1 * (0.5 + *v * 0.5));
    }

    fn pixelate(&mut self, s: f32) {
        let (height, width, channels) = (self.height, self.width, self.channels);
        let coarse = |at: usize, n: usize| {
            let m = ((n as f32 * s) as usize).max(1);
            let cell = at * m / n;
            (cell * n / m).min(n - 1)
        };
        self.map(|old, y, x, c| old[(coarse(y, height) * width + coarse(x, width)) * channels + c]);
    }

    /// Cosine transforms of blocks of eight, rounded more coarsely for higher frequencies.
    fn jpeg(&mut self, s: f32) {
        let wave = |k: usize, i: usize| {
            let scale = if k == 0 { 0.125f32.sqrt() } else { 0.5 };
            scale * (std::f32::consts::PI * k as f32 * (2 * i + 1) as f32 / 16.0).cos()
        };
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                for c in 0..self.channels {
                    let place = |i: usize, j: usize| {
                        self.at((top + i).min(self.height - 1), (left + j).min(self.width - 1), c)
                    };
                    let mut block = [[0f32; 8]; 8];
                    for (u, row) in block.iter_mut().enumerate() {
                        for (v, f) in row.iter_mut().enumerate() {
                            let sum = (0..64)
                                .map(|n| self.values[place(n / 8, n % 8)] * wave(u, n / 8) * wave(v, n % 8));
                            let grain = s * (1.0 + (u + v) as f32);
                            *f = (sum.sum::<f32>() / grain).round() * grain;
                        }
                    }
                    for n in 0..64 {
                        let (i, j) = (n / 8, n % 8);
                        if top + i < self.height && left + j < self.width {
                            let sum: f32 =
                                (0..64).map(|k| block[k / 8][k % 8] * wave(k / 8, i) * wave(k % 8, j)).sum();
                            let at = self.at(top + i, left + j, c);
                            self.values[at] = sum;
                        }
                    }
                }
            }
        }
    }
}
