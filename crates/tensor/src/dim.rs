//! Symbolic sizes: integers, named symbols (`batch`, `time`), and the arithmetic that shape rules need.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::sync::Arc;

/// Values of the symbols for one run.
pub type Bindings = BTreeMap<Arc<str>, usize>;

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Atom {
    Symbol(Arc<str>),
    /// Quotient rounded down.
    FloorDiv(Dim, i64),
    Max(Dim, Dim),
    /// Arithmetic that left the machine's integers, or grew beyond the limits below. Whatever it meets becomes the
    /// same, it has no value, and [`Shape::check`] reports it.
    TooLarge,
}

/// Most terms of a size, so that products of sums stay small.
const MOST_TERMS: usize = 256;
/// Most symbols, quotients and maxima of a size, those inside others counted too.
const MOST_ATOMS: usize = 4096;
/// Most quotients and maxima inside one another.
const MOST_DEPTH: usize = 32;

/// One size of a shape: a polynomial with integer coefficients over symbols, rounded quotients and maxima.
///
/// Two dims are equal when their canonical forms are, so `batch + batch == 2 * batch`.
///
/// ```
/// use rhyton_tensor::{Bindings, Dim};
/// let t = Dim::symbol("time");
/// let out = (t - 3).floor_div(2) + 1; // a convolution of width 3 and stride 2
/// assert_eq!(out.to_string(), "floordiv(time-3,2)+1");
/// assert_eq!(out.eval(&Bindings::from([("time".into(), 9)])), Some(4));
/// assert_eq!("floordiv(time-3,2)+1".parse::<Dim>().unwrap(), out);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Dim {
    /// Monomial (sorted atoms) to coefficient; sorted, no zero coefficients. The constant has no atoms.
    terms: Vec<(Vec<Atom>, i64)>,
}

impl Dim {
    /// A known size.
    pub fn fixed(n: usize) -> Dim {
        i64::try_from(n).map_or_else(|_| Dim::too_large(), Dim::constant)
    }

    fn too_large() -> Dim {
        Dim { terms: vec![(vec![Atom::TooLarge], 1)] }
    }

    /// True for the result of arithmetic beyond the limits; it has no value.
    pub fn is_too_large(&self) -> bool {
        matches!(self.terms.first(), Some((atoms, _)) if atoms.first() == Some(&Atom::TooLarge))
    }

    /// Atoms in all and how deep they lie, without recursion deeper than the limit.
    fn weight(&self) -> (usize, usize) {
        let (mut atoms, mut depth) = (0, 0);
        for atom in self.terms.iter().flat_map(|(atoms, _)| atoms) {
            let inside = match atom {
                Atom::Symbol(_) | Atom::TooLarge => (0, 0),
                Atom::FloorDiv(d, _) => d.weight(),
                Atom::Max(a, b) => {
                    let (a, b) = (a.weight(), b.weight());
                    (a.0 + b.0, a.1.max(b.1))
                }
            };
            atoms += 1 + inside.0;
            depth = depth.max(1 + inside.1);
        }
        (atoms, depth)
    }

    /// The dim itself when it is within the limits.
    fn bounded(self) -> Dim {
        let (atoms, depth) = self.weight();
        let fits = self.terms.len() <= MOST_TERMS && atoms <= MOST_ATOMS && depth <= MOST_DEPTH;
        if fits { self } else { Dim::too_large() }
    }

    fn constant(n: i64) -> Dim {
        Dim { terms: if n == 0 { vec![] } else { vec![(vec![], n)] } }
    }

    /// A size that is known when the program runs.
    pub fn symbol(name: &str) -> Dim {
        Dim::atom(Atom::Symbol(name.into()))
    }

    fn atom(atom: Atom) -> Dim {
        Dim { terms: vec![(vec![atom], 1)] }.bounded()
    }

    /// The sum of these terms.
    fn sum(terms: impl Iterator<Item = (Vec<Atom>, Option<i64>)>) -> Dim {
        let mut map: BTreeMap<Vec<Atom>, i64> = BTreeMap::new();
        for (mut atoms, c) in terms {
            atoms.sort();
            let slot = map.entry(atoms).or_insert(0);
            match c.and_then(|c| slot.checked_add(c)) {
                Some(sum) => *slot = sum,
                None => return Dim::too_large(),
            }
        }
        Dim { terms: map.into_iter().filter(|(_, c)| *c != 0).collect() }.bounded()
    }

    fn signed(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(atoms, c)] if atoms.is_empty() => Some(*c),
            _ => None,
        }
    }

    /// The size, when it holds no symbol.
    pub fn as_fixed(&self) -> Option<usize> {
        self.signed().and_then(|n| usize::try_from(n).ok())
    }

    /// True for a dim that is the constant `n`.
    pub fn is(&self, n: usize) -> bool {
        self.as_fixed() == Some(n)
    }

    /// Quotient rounded down.
    pub fn floor_div(&self, by: usize) -> Dim {
        if self.is_too_large() {
            return Dim::too_large();
        }
        let by = i64::try_from(by.max(1)).unwrap_or(i64::MAX);
        if let Some(n) = self.signed() {
            return Dim::constant(n.div_euclid(by));
        }
        if self.terms.iter().all(|(_, c)| c % by == 0) {
            return Dim { terms: self.terms.iter().map(|(a, c)| (a.clone(), c / by)).collect() };
        }
        Dim::atom(Atom::FloorDiv(self.clone(), by))
    }

    /// Quotient rounded up.
    pub fn ceil_div(&self, by: usize) -> Dim {
        (self.clone() + by.saturating_sub(1)).floor_div(by)
    }

    /// The larger of the two.
    pub fn maximum(&self, other: &Dim) -> Dim {
        match (self.signed(), other.signed()) {
            (Some(a), Some(b)) => Dim::constant(a.max(b)),
            _ if self.is_too_large() || other.is_too_large() => Dim::too_large(),
            _ if self == other => self.clone(),
            _ => {
                let (a, b) = if self < other { (self, other) } else { (other, self) };
                Dim::atom(Atom::Max(a.clone(), b.clone()))
            }
        }
    }

    /// `self / by` when the quotient is a dim again: every term divisible by a single term.
    pub fn exact_div(&self, by: &Dim) -> Option<Dim> {
        let [(atoms, coefficient)] = by.terms.as_slice() else { return None };
        let mut terms = Vec::new();
        for (have, c) in &self.terms {
            let mut rest = have.clone();
            for atom in atoms {
                rest.remove(rest.iter().position(|a| a == atom)?);
            }
            if c.checked_rem(*coefficient)? != 0 {
                return None;
            }
            terms.push((rest, c.checked_div(*coefficient)));
        }
        Some(Dim::sum(terms.into_iter())).filter(|d| !d.is_too_large())
    }

    /// The size under `bindings`; `None` when a symbol is unbound or the result is negative.
    pub fn eval(&self, bindings: &Bindings) -> Option<usize> {
        usize::try_from(self.eval_signed(bindings)?).ok()
    }

    /// The value under `bindings`, which may be negative (offsets, strides of reversed axes).
    pub fn eval_signed(&self, bindings: &Bindings) -> Option<i64> {
        let mut sum = 0i64;
        for (atoms, c) in &self.terms {
            let mut product = *c;
            for atom in atoms {
                let value = match atom {
                    Atom::Symbol(name) => i64::try_from(*bindings.get(name)?).ok()?,
                    Atom::FloorDiv(d, by) => d.eval_signed(bindings)?.div_euclid(*by),
                    Atom::Max(a, b) => a.eval_signed(bindings)?.max(b.eval_signed(bindings)?),
                    Atom::TooLarge => return None,
                };
                product = product.checked_mul(value)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// Replaces symbols by sizes; unbound symbols stay.
    pub fn substitute(&self, with: &BTreeMap<Arc<str>, Dim>) -> Dim {
        let mut sum = Dim::constant(0);
        for (atoms, c) in &self.terms {
            let mut product = Dim::constant(*c);
            for atom in atoms {
                let value = match atom {
                    Atom::Symbol(name) => with.get(name).cloned().unwrap_or_else(|| Dim::atom(atom.clone())),
                    Atom::FloorDiv(d, by) => d.substitute(with).floor_div(*by as usize),
                    Atom::Max(a, b) => a.substitute(with).maximum(&b.substitute(with)),
                    Atom::TooLarge => return Dim::too_large(),
                };
                product = product * value;
            }
            sum = sum + product;
        }
        sum
    }

    /// Adds the names of the symbols in this dim to `into`.
    pub fn symbols(&self, into: &mut std::collections::BTreeSet<Arc<str>>) {
        for atom in self.terms.iter().flat_map(|(atoms, _)| atoms) {
            match atom {
                Atom::Symbol(name) => {
                    into.insert(name.clone());
                }
                Atom::FloorDiv(d, _) => d.symbols(into),
                Atom::Max(a, b) => {
                    a.symbols(into);
                    b.symbols(into);
                }
                Atom::TooLarge => {}
            }
        }
    }
}

impl Default for Dim {
    fn default() -> Dim {
        Dim::constant(0)
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::fixed(n)
    }
}

impl From<&Dim> for Dim {
    fn from(d: &Dim) -> Dim {
        d.clone()
    }
}

impl From<&str> for Dim {
    /// A symbol.
    fn from(name: &str) -> Dim {
        Dim::symbol(name)
    }
}

impl From<i32> for Dim {
    fn from(n: i32) -> Dim {
        Dim::constant(n.into())
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Dim {
        Dim::constant(n)
    }
}

impl<D: Into<Dim>> Add<D> for Dim {
    type Output = Dim;
    fn add(self, other: D) -> Dim {
        let other = other.into();
        if self.is_too_large() || other.is_too_large() {
            return Dim::too_large();
        }
        Dim::sum(self.terms.into_iter().chain(other.terms).map(|(atoms, c)| (atoms, Some(c))))
    }
}

impl<D: Into<Dim>> Sub<D> for Dim {
    type Output = Dim;
    fn sub(self, other: D) -> Dim {
        self + other.into() * Dim::constant(-1)
    }
}

impl<D: Into<Dim>> Mul<D> for Dim {
    type Output = Dim;
    fn mul(self, other: D) -> Dim {
        let other = other.into();
        if self.is_too_large() || other.is_too_large() {
            return Dim::too_large();
        }
        let pairs = self.terms.iter().flat_map(|a| other.terms.iter().map(move |b| (a, b)));
        Dim::sum(pairs.map(|((a, ca), (b, cb))| {
            (a.iter().chain(b).cloned().collect::<Vec<Atom>>(), ca.checked_mul(*cb))
        }))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Symbols first, the constant last, as one would write it.
        for (i, (atoms, c)) in self.terms.iter().rev().enumerate() {
            if *c < 0 {
                f.write_str("-")?;
            } else if i > 0 {
                f.write_str("+")?;
            }
            if atoms.is_empty() || c.unsigned_abs() != 1 {
                write!(f, "{}", c.unsigned_abs())?;
                if !atoms.is_empty() {
                    f.write_str("*")?;
                }
            }
            for (j, atom) in atoms.iter().enumerate() {
                if j > 0 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(name) => f.write_str(name)?,
                    Atom::FloorDiv(d, by) => write!(f, "floordiv({d},{by})")?,
                    Atom::Max(a, b) => write!(f, "max({a},{b})")?,
                    Atom::TooLarge => f.write_str("(too large)")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Dim> for String {
    fn from(d: Dim) -> String {
        d.to_string()
    }
}

impl TryFrom<String> for Dim {
    type Error = String;
    fn try_from(s: String) -> Result<Dim, String> {
        s.parse()
    }
}

impl std::str::FromStr for Dim {
    type Err = String;
    fn from_str(s: &str) -> Result<Dim, String> {
        let mut parser = Parser { text: s.as_bytes(), at: 0, depth: 0 };
        let dim = parser.sum()?;
        match parser.at == s.len() {
            true if dim.is_too_large() => Err(format!("the size '{s}' is too large")),
            true => Ok(dim),
            false => Err(format!("cannot read the size '{s}'")),
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, c: u8) -> bool {
        let hit = self.text.get(self.at) == Some(&c);
        self.at += usize::from(hit);
        hit
    }

    fn need(&mut self, c: u8) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("'{}' expected in a size", c as char)) }
    }

    fn sum(&mut self) -> Result<Dim, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH + 1 {
            return Err("a size is nested too deeply".into());
        }
        let mut sum = Dim::default();
        let mut negative = self.take(b'-');
        loop {
            let mut product = self.factor()?;
            while self.take(b'*') {
                product = product * self.factor()?;
            }
            sum = if negative { sum - product } else { sum + product };
            negative = self.take(b'-');
            if !negative && !self.take(b'+') {
                self.depth -= 1;
                return Ok(sum);
            }
        }
    }

    fn factor(&mut self) -> Result<Dim, String> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_') {
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        if word.is_empty() {
            return Err("a number or a name expected in a size".into());
        }
        if word.as_bytes()[0].is_ascii_digit() {
            return word.parse().map(Dim::constant).map_err(|e: std::num::ParseIntError| e.to_string());
        }
        if !self.take(b'(') {
            return Ok(Dim::symbol(&word));
        }
        let a = self.sum()?;
        self.need(b',')?;
        let b = self.sum()?;
        self.need(b')')?;
        match (word.as_str(), b.as_fixed()) {
            ("floordiv", Some(by)) if by > 0 => Ok(a.floor_div(by)),
            ("max", _) => Ok(a.maximum(&b)),
            _ => Err(format!("unknown function '{word}' in a size")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn canonical_forms_compare() {
        let b = Dim::symbol("batch");
        assert_eq!(b.clone() + &b, b.clone() * 2);
        assert_eq!((b.clone() * 6).floor_div(3), b.clone() * 2);
        assert_eq!((b.clone() * 12).exact_div(&(b.clone() * 4)), Some(Dim::fixed(3)));
        assert_eq!(b.clone().exact_div(&Dim::fixed(2)), None);
        assert!((b.clone() - &b).is(0));
    }

    #[test]
    fn arithmetic_beyond_the_limits_has_no_value() {
        let (b, big) = (Dim::symbol("batch"), Dim::fixed(1 << 62));
        let sum = Dim::fixed(i64::MAX as usize) + 1;
        let lowest = Dim::default() - i64::MAX - 1;
        let products =
            [big.clone() * 4, b.clone() * &big * &big, sum.clone() - &sum, Dim::default() - &lowest];
        for d in products.iter().chain([&sum, &Dim::fixed(usize::MAX), &(Dim::default() - &sum)]) {
            assert!(d.is_too_large(), "{d}");
            assert!(
                (d.clone() * Dim::default()).is_too_large() && d.floor_div(2).is_too_large(),
                "it spreads"
            );
            assert!(d.maximum(&b).is_too_large() && (b.clone() + d).is_too_large(), "it spreads");
            assert_eq!(d.eval(&Bindings::from([("batch".into(), 1)])), None);
            assert!(Shape(vec![b.clone(), d.clone()]).check().unwrap_err().to_string().contains("axis 1"));
        }
        assert_eq!(lowest.exact_div(&(Dim::default() - 1)), None, "no machine number");
        assert_eq!(b.clone().eval(&Bindings::from([("batch".into(), usize::MAX)])), None);
        assert!(Shape(vec![b.clone(), 0.into(), (1 << 30).into(), (1 << 30).into()]).check().is_err());
        let far = b.clone() * (1i64 << 40);
        assert!(Shape(vec![far.clone(), far]).check().is_err(), "2^80 times the batch squared");
        assert!(Shape(vec![b, 0.into(), (1 << 30).into()]).check().is_ok());
    }

    #[test]
    fn sizes_do_not_grow_without_end() {
        let t = Dim::symbol("time");
        let quotients = (0..100).fold(t.clone(), |d, _| (d - 1).floor_div(2));
        assert!(quotients.is_too_large(), "nested too deeply");
        let doubled = (0..60).fold(t.clone(), |d, i| d.maximum(&(d.clone() + 1)) + i);
        assert!(doubled.is_too_large(), "2^60 atoms");
        let sum = (0..20).fold(t, |d, i| d + Dim::symbol(&format!("s{i}")));
        assert!(Shape(vec![sum; 12]).elements().is_too_large(), "20^12 terms");
    }

    #[test]
    fn text_round_trips() {
        for text in [
            "0",
            "7",
            "batch",
            "batch*time",
            "2*batch+3",
            "floordiv(time+1,2)",
            "max(batch,3)*2-1",
            "9223372036854775807",
        ] {
            let d: Dim = text.parse().unwrap();
            assert_eq!(d.to_string().parse::<Dim>().unwrap(), d, "{text}");
        }
        for bad in [
            "",
            "2+",
            "floordiv(a,0)",
            "f(a,1)",
            "a b",
            "((((",
            "99999999999999999999",
            "9223372036854775807+1",
        ] {
            assert!(bad.parse::<Dim>().is_err(), "{bad}");
        }
    }
}
