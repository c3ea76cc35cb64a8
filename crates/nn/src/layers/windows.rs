//! Where the windows of convolutions and poolings lie: output sizes and padding by Keras's rules.

use rhyton_tensor::{Dim, Error, Result, Shape};

/// The largest window, stride and dilation: their products stay far from overflow, whatever a file says.
const LARGEST: usize = 1 << 16;

/// Windows over the spatial axes of one input.
pub(crate) struct Windows<'a> {
    /// The layer's class, for errors.
    pub class: &'static str,
    /// Window sizes.
    pub kernel: &'a [usize],
    /// Steps between windows.
    pub strides: &'a [usize],
    /// Distances between the entries of a window.
    pub dilation: &'a [usize],
}

/// Where windows lie.
pub(crate) struct Placed {
    /// Number of windows along each axis.
    pub sizes: Vec<Dim>,
    /// Positions before the input that the first window covers.
    pub before: Vec<Dim>,
    /// False when no window reaches outside, whatever the sizes.
    pub outside: bool,
}

impl Windows<'_> {
    /// Size of a window, holes included.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// That all settings are at least 1 and fit together.
    pub fn check(&self) -> Result<()> {
        let settings =
            [("window size", self.kernel), ("strides", self.strides), ("dilation_rate", self.dilation)];
        for (what, sizes) in settings {
            if !sizes.iter().all(|s| (1..=LARGEST).contains(s)) {
                return Err(Error::new(format!("{} got {what} {sizes:?}", self.class))
                    .expected(format!("sizes from 1 to {LARGEST}")));
            }
        }
        if self.strides.iter().any(|s| *s > 1) && self.dilation.iter().any(|d| *d > 1) {
            return Err(Error::new(format!(
                "{} got strides {:?} together with dilation_rate {:?}",
                self.class, self.strides, self.dilation
            ))
            .expected("strides or a dilation_rate, not both"));
        }
        Ok(())
    }

    /// The windows over an input of these sizes. `valid`: inside the input, `floor((n - extent) / stride) +
    /// 1`. `same`: `ceil(n / stride)` windows, centred, an odd position more at the end. `causal`: `same`
    /// many, none looks ahead.
    pub fn place(&self, input: &[Dim], padding: &str, causal: bool) -> Result<Placed> {
        self.check()?;
        let mut placed = Placed { sizes: vec![], before: vec![], outside: true };
        for (axis, n) in input.iter().enumerate() {
            let (extent, stride) = (self.extent(axis), self.strides[axis]);
            let windows = n.ceil_div(stride);
            let before = match padding.to_lowercase().as_str() {
                "valid" => {
                    self.fits(input, axis)?;
                    placed.outside = false;
                    placed.sizes.push((n.clone() - extent).floor_div(stride) + 1usize);
                    placed.before.push(Dim::fixed(0));
                    continue;
                }
                "same" => {
                    let total = (windows.clone() - 1usize) * stride + extent - n;
                    total.maximum(&Dim::fixed(0)).floor_div(2)
                }
                "causal" if causal => Dim::fixed(extent - 1),
                "causal" => {
                    return Err(Error::new(format!("{} got padding 'causal'", self.class))
                        .expected("'valid' or 'same'")
                        .fix("only Conv1D and its kin know an order of time"));
                }
                other => {
                    let known = if causal { "'valid', 'same' or 'causal'" } else { "'valid' or 'same'" };
                    return Err(Error::new(format!("{} got padding '{other}'", self.class)).expected(known));
                }
            };
            placed.sizes.push(windows);
            placed.before.push(before);
        }
        Ok(placed)
    }

    fn fits(&self, input: &[Dim], axis: usize) -> Result<()> {
        let extent = self.extent(axis);
        if input[axis].as_fixed().is_none_or(|n| n >= extent) {
            return Ok(());
        }
        let window: Shape = (0..input.len()).map(|a| self.extent(a)).collect();
        Err(Error::new(format!(
            "the window {window} of {} is larger than its input {}",
            self.class,
            Shape::from(input)
        ))
        .fix("use a smaller window, padding 'same', or fewer poolings before"))
    }
}
