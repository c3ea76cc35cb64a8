//! File names with figures in them, as Keras users write them: `model-{epoch:02d}-{val_loss:.3f}.keras`.

use rhyton_tensor::{Error, Result};

/// `pattern` with every `{name}` or `{name:format}` replaced by `value(name)`. Formats are Python's for numbers:
/// `02d`, `.3f`, `8.2e` and none at all.
///
/// # Errors
/// When a name has no value, a format is not known or a brace is open.
pub(super) fn fill(pattern: &str, value: impl Fn(&str) -> Option<f64>) -> Result<String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let bad = |what: String| Error::new(what).place(pattern.to_string());
        let end =
            rest[start..].find('}').ok_or_else(|| bad("a { in the file name is never closed".into()))?;
        let field = &rest[start + 1..start + end];
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        let x = value(name).ok_or_else(|| {
            bad(format!("the file name asks for '{name}', which is no figure of this training"))
                .expected("epoch, batch, loss, or the name of a metric")
        })?;
        let text = number(x, format).ok_or_else(|| {
            bad(format!("'{format}' is no format for a number")).expected("like 02d, .3f or .2e")
        })?;
        out.push_str(&text);
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// `x` in the format `[0][width][.precision][d|f|e]`.
fn number(x: f64, format: &str) -> Option<String> {
    let (spec, kind) = match format.chars().last() {
        Some(c) if c.is_ascii_alphabetic() => (&format[..format.len() - 1], c),
        _ => (format, ' '),
    };
    let (width, precision) = match spec.split_once('.') {
        Some((w, p)) => (w, Some(p.parse::<usize>().ok()?)),
        None => (spec, None),
    };
    let zeros = width.starts_with('0');
    let width: usize = if width.is_empty() { 0 } else { width.parse().ok()? };
    if width > 64 || precision.is_some_and(|p| p > 64) {
        return None;
    }
    let digits = match (kind, precision) {
        ('d', None) if x.fract() == 0.0 => format!("{x:.0}"),
        ('f', p) => format!("{x:.*}", p.unwrap_or(6)),
        ('e', p) => exponent(&format!("{x:.*e}", p.unwrap_or(6))),
        (' ', None) => format!("{x}"),
        (' ', Some(p)) => format!("{x:.p$}"),
        _ => return None,
    };
    Some(if zeros { format!("{digits:0>width$}") } else { format!("{digits:>width$}") })
}

/// Rust's `1.5e-3` as Python's `1.5e-03`.
fn exponent(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('e') else { return text.into() };
    let (sign, digits) = power.strip_prefix('-').map_or(('+', power), |d| ('-', d));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_python() {
        let value = |name: &str| match name {
            "epoch" => Some(7.0),
            "val_loss" => Some(0.012_345),
            _ => None,
        };
        for (pattern, wanted) in [
            ("best.keras", "best.keras"),
            ("m-{epoch:02d}-{val_loss:.3f}.keras", "m-07-0.012.keras"),
            ("{epoch}/{val_loss}", "7/0.012345"),
            ("{val_loss:.2e}|{epoch:3d}", "1.23e-02|  7"),
        ] {
            assert_eq!(fill(pattern, value).unwrap(), wanted);
        }
        for bad in ["{acc}", "{epoch", "{epoch:x}", "{val_loss:d}", "{epoch:99999999999d}"] {
            assert!(fill(bad, value).is_err(), "{bad}");
        }
    }
}
