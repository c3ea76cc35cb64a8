//! Where the ticks of an axis lie and how they read.
//!
//! The drawing library never sees the user's numbers, only positions counted in ticks: so axes of any magnitude
//! draw alike, and labels have exactly the digits that tell neighbours apart.

/// The span of an axis in steps is at least this, and so at most 2.5 times this.
const FEWEST_STEPS: f64 = 4.5;
/// Values beyond this are not drawn: spans and steps between them stay finite.
const LARGEST: f64 = 1e300;

/// One axis: ticks at `origin + k * step` (of the decimal logarithm, when `log`).
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    log: bool,
    origin: f64,
    step: f64,
    /// The ends of the axis, counted in steps from `origin`.
    pub(crate) ends: (f64, f64),
    digits: Digits,
}

#[derive(Clone, Copy, Debug)]
enum Digits {
    Fixed(usize),
    Scientific(usize),
}

/// How an axis is to be laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) log: bool,
    /// Ticks at whole numbers only.
    pub(crate) whole: bool,
}

impl Axis {
    /// An axis around the drawable ones of `values`; `None` when there are none.
    pub(crate) fn around(values: impl Iterator<Item = f64>, wish: Wish) -> Option<Axis> {
        let drawable = values.filter_map(|v| scaled(v, wish.log));
        let (low, high) = drawable.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if low > high {
            return None;
        }
        let size = low.abs().max(high.abs());
        // A spread within rounding error is a constant: one tick on it and some room on both sides.
        let (low, high) = if high - low <= 1e-9 * size || high - low < 1e-290 {
            let room = match wish {
                Wish { log: true, .. } => 1.0,
                Wish { whole: true, .. } => 0.75,
                _ if size < 1e-280 => 1.0,
                _ => 0.5 * size,
            };
            ((low + high) / 2.0 - room, (low + high) / 2.0 + room)
        } else {
            let room = 0.04 * (high - low);
            (low - room, high + room)
        };
        let whole = wish.whole || wish.log;
        let step = nice((high - low) / FEWEST_STEPS).max(if whole { 1.0 } else { 0.0 });
        let origin = (low / step).ceil() * step;
        let ends = ((low - origin) / step, (high - origin) / step);
        let magnitude = low.abs().max(high.abs()).log10().floor();
        let digit = step.log10().floor();
        let digits = if digit >= -4.0 && magnitude < 6.0 {
            Digits::Fixed((-digit).max(0.0) as usize)
        } else {
            Digits::Scientific((magnitude - digit).clamp(0.0, 15.0) as usize)
        };
        Some(Axis { log: wish.log, origin, step, ends, digits })
    }

    /// `value` counted in ticks; `None` when it cannot be drawn.
    pub(crate) fn position(&self, value: f64) -> Option<f64> {
        Some((scaled(value, self.log)? - self.origin) / self.step)
    }

    /// The text at tick `k`.
    pub(crate) fn label(&self, k: f64) -> String {
        let v = self.origin + k.round() * self.step;
        let v = if v.abs() < self.step * 1e-6 { 0.0 } else { v };
        match self.digits {
            _ if self.log && (-3.0..=4.0).contains(&v) => format!("{}", 10f64.powi(v as i32)),
            _ if self.log => format!("1e{v}"),
            Digits::Fixed(n) => format!("{v:.n$}"),
            Digits::Scientific(_) if v == 0.0 => "0".into(),
            Digits::Scientific(n) => format!("{v:.n$e}"),
        }
    }
}

/// What is drawn for `value`; `None` for NaN, infinities and, on a logarithmic axis, anything not positive.
fn scaled(value: f64, log: bool) -> Option<f64> {
    match value {
        v if !v.is_finite() || v.abs() > LARGEST => None,
        v if log => (v > 0.0).then(|| v.log10()),
        v => Some(v),
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above `rough`.
fn nice(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = [5.0, 2.0].into_iter().find(|f| f * power <= rough).unwrap_or(1.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], wish: Wish) -> Vec<String> {
        let axis = Axis::around(values.iter().copied(), wish).unwrap();
        let (first, last) = (axis.ends.0.ceil() as i64, axis.ends.1.floor() as i64);
        (first..=last).map(|k| axis.label(k as f64)).collect()
    }

    const PLAIN: Wish = Wish { log: false, whole: false };

    #[test]
    fn epochs_have_whole_ticks() {
        let epochs = Wish { whole: true, ..PLAIN };
        assert_eq!(labels(&[1.0, 3.0], epochs), ["1", "2", "3"]);
        assert_eq!(labels(&[1.0], epochs), ["1"]);
        assert_eq!(labels(&[1.0, 100.0], epochs), ["0", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn labels_have_the_digits_that_tell_them_apart() {
        assert_eq!(labels(&[0.0, 1.0], PLAIN), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[-0.3, 0.3], PLAIN), ["-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&[0.0, 5e6], PLAIN), ["0", "1e6", "2e6", "3e6", "4e6", "5e6"]);
        assert_eq!(labels(&[9e6, 1.2e7], PLAIN)[..2], ["9.00e6", "9.50e6"]);
        assert_eq!(labels(&[1e-7, 3e-7], PLAIN).first().unwrap(), "1.0e-7");
        for (a, b) in [(1e-290, 5e-290), (-1e300, 1e300), (1e9, 1e9 + 10.0), (0.99991, 0.99999)] {
            let found = labels(&[a, b], PLAIN);
            let mut unique = found.clone();
            unique.dedup();
            assert!(found.len() >= 3 && found.len() <= 12 && unique == found, "{a:e} {b:e}: {found:?}");
        }
    }

    #[test]
    fn constants_and_undrawable_values() {
        assert!(labels(&[7.0, 7.0], PLAIN).len() >= 3);
        assert!(labels(&[0.0], PLAIN).contains(&"0.0".to_string()));
        assert!(labels(&[1e300], PLAIN).len() >= 3);
        let none = [f64::NAN, f64::INFINITY, 1e305];
        assert!(Axis::around(none.into_iter(), PLAIN).is_none());
        let axis = Axis::around([1.0, f64::NAN, 2.0].into_iter(), PLAIN).unwrap();
        assert!(axis.position(f64::NAN).is_none() && axis.position(1.5).is_some());
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten() {
        let log = Wish { log: true, ..PLAIN };
        assert_eq!(labels(&[0.001, 10.0, -1.0, 0.0], log), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(labels(&[1e-9, 1e-7], log), ["1e-9", "1e-8", "1e-7"]);
    }
}
