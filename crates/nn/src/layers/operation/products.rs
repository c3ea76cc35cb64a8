//! Products of tensors: Einsum, Tensordot, Dot, Inner, Outer.

use super::call::Call;
use super::shapes::flat;
use crate::Axes;
use crate::layers::check;
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Result};
use serde::Deserialize;
use serde_json::Value as Json;

/// A value with a letter for each axis.
struct Labelled {
    value: Expr,
    labels: Vec<char>,
}

impl Labelled {
    /// Summed over all axes whose letter `needed` does not want.
    fn reduced(&self, needed: impl Fn(char) -> bool) -> Labelled {
        let gone: Vec<usize> = (0..self.labels.len()).filter(|i| !needed(self.labels[*i])).collect();
        let labels = self.labels.iter().copied().filter(|l| needed(*l)).collect();
        Labelled { value: self.value.sum(&gone), labels }
    }

    fn at(&self, label: char) -> Option<usize> {
        self.labels.iter().position(|l| *l == label)
    }

    /// The product of two values: common letters that are `needed` later run side by side, others are summed over.
    fn times(&self, other: &Labelled, needed: impl Fn(char) -> bool) -> Labelled {
        let a = self.reduced(|l| needed(l) || other.at(l).is_some());
        let b = other.reduced(|l| needed(l) || self.at(l).is_some());
        let common: Vec<char> = a.labels.iter().copied().filter(|l| b.at(*l).is_some()).collect();
        let (batch, sum): (Vec<char>, Vec<char>) = common.iter().partition(|l| needed(**l));
        let places = |x: &Labelled, of: &[char]| of.iter().filter_map(|l| x.at(*l)).collect::<Vec<usize>>();
        let value = a.value.dot_general(
            &b.value,
            &places(&a, &batch),
            &places(&b, &batch),
            &places(&a, &sum),
            &places(&b, &sum),
        );
        let rest = a.labels.iter().chain(&b.labels).copied().filter(|l| !common.contains(l));
        Labelled { value, labels: batch.into_iter().chain(rest).collect() }
    }
}

/// Letters of each operand and of the result; `...` becomes letters of its own, aligned at the end.
fn parse(c: &Call, operands: &[Expr]) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let text: String = c.get("subscripts").as_str()?.chars().filter(|ch| !ch.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left.to_string(), Some(right.to_string())),
        None => (text, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    let letters = |t: &str| t.replace("...", "").chars().collect::<Vec<char>>();
    let hidden =
        |t: &str, rank: usize| if t.contains("...") { rank.checked_sub(letters(t).len()) } else { Some(0) };
    if terms.len() != operands.len() {
        return None;
    }
    let counts =
        terms.iter().zip(operands).map(|(t, e)| hidden(t, e.rank())).collect::<Option<Vec<usize>>>()?;
    let most = counts.iter().copied().max().unwrap_or(0);
    // Digits are no letters of a user.
    let dots: Vec<char> = (0..most).map(|i| char::from_digit(i as u32, 36)).collect::<Option<_>>()?;
    let expand = |t: &str, n: usize| -> Vec<char> {
        let own: String = dots[most - n..].iter().collect();
        t.replace("...", &own).chars().collect()
    };
    let inputs: Vec<Vec<char>> = terms.iter().zip(&counts).map(|(t, n)| expand(t, *n)).collect();
    let output = match right {
        Some(right) => expand(&right, most),
        None => {
            let all: Vec<char> = inputs.iter().flatten().copied().collect();
            let mut once: Vec<char> =
                all.iter().copied().filter(|l| all.iter().filter(|x| *x == l).count() == 1).collect();
            once.sort_unstable();
            once
        }
    };
    let distinct = |v: &[char]| v.iter().enumerate().all(|(i, l)| !v[..i].contains(l));
    let fits = inputs.iter().zip(operands).all(|(l, e)| l.len() == e.rank() && distinct(l));
    let known = output.iter().all(|l| inputs.iter().any(|i| i.contains(l)));
    (fits && distinct(&output) && known).then_some((inputs, output))
}

pub(super) fn einsum(c: &Call) -> Result<Expr> {
    let operands: Vec<Expr> = c.all()?.iter().map(Expr::float).collect();
    let odd = || c.odd("subscripts", c.get("subscripts"));
    let (inputs, output) = parse(c, &operands).ok_or_else(odd)?;
    let mut terms: Vec<Labelled> =
        operands.into_iter().zip(inputs).map(|(value, labels)| Labelled { value, labels }).collect();
    let mut product = terms.remove(0);
    while !terms.is_empty() {
        let next = terms.remove(0);
        let needed = |l: char| output.contains(&l) || terms.iter().any(|t| t.at(l).is_some());
        product = product.times(&next, needed);
    }
    let product = product.reduced(|l| output.contains(&l));
    let order: Option<Vec<usize>> = output.iter().map(|l| product.at(*l)).collect();
    Ok(product.value.transpose(&order.ok_or_else(odd)?))
}

pub(super) fn tensordot(c: &Call) -> Result<Expr> {
    let [a, b] = c.exactly()?;
    let (a, b) = (a.float(), b.float());
    let wanted = c.get("axes");
    let listed = |v: &Json, x: &Expr| -> Option<Vec<usize>> {
        let axes = Axes::deserialize(v).ok()?;
        axes.as_slice().iter().map(|i| check::axis(c.name, *i, x).ok()).collect()
    };
    let axes = match wanted.as_array() {
        Some(both) if both.len() == 2 => listed(&both[0], &a).zip(listed(&both[1], &b)),
        _ => {
            let n = c.whole("axes", 2)?.max(0) as usize;
            a.rank()
                .checked_sub(n)
                .filter(|_| n <= b.rank())
                .map(|first| ((first..a.rank()).collect(), (0..n).collect()))
        }
    };
    let (own, others) = axes.filter(|(a, b)| a.len() == b.len()).ok_or_else(|| c.odd("axes", wanted))?;
    Ok(a.dot(&b, &own, &others))
}

/// NumPy's `dot`: the last axis of the first with the last but one of the second.
pub(super) fn dot(c: &Call) -> Result<Expr> {
    let [a, b] = c.exactly()?;
    let (a, b) = (a.float(), b.float());
    if a.rank() == 0 || b.rank() == 0 {
        return Ok(a * b);
    }
    Ok(a.dot(&b, &[a.rank() - 1], &[b.rank().saturating_sub(2)]))
}

/// The last axis of both.
pub(super) fn inner(c: &Call) -> Result<Expr> {
    let [a, b] = c.exactly()?;
    let (a, b) = (a.float(), b.float());
    if a.rank() == 0 || b.rank() == 0 {
        return Ok(a * b);
    }
    Ok(a.dot(&b, &[a.rank() - 1], &[b.rank() - 1]))
}

/// Every element of the first with every element of the second.
pub(super) fn outer(c: &Call) -> Result<Expr> {
    let [a, b] = c.exactly()?;
    let (a, b) = (flat(&a), flat(&b));
    let columns: Dim = b.shape()[0].clone();
    Ok(a.expand_dims(&[1]) * b.reshape(vec![Dim::fixed(1), columns]))
}
