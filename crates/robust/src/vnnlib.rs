//! Properties in the VNN-LIB form: boxes of inputs, and what outputs would be a counterexample.

use rhyton_tensor::{Error, Result};

/// A property: it is violated by an input within one of the boxes whose output meets all of a group of constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Least and largest value of each input, flat.
    pub inputs: Vec<(f64, f64)>,
    /// Groups of constraints, any of which violates the property.
    pub unsafe_if: Vec<Vec<Constraint>>,
}

/// `sum of factor y_i <= limit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// Factors of outputs, by number.
    pub factors: Vec<(usize, f64)>,
    /// What the sum is at most.
    pub limit: f64,
}

/// A bracketed list or a word.
enum Term {
    Word(String),
    List(Vec<Term>),
}

/// The deepest nesting that is read.
const DEPTH: usize = 64;

fn terms(text: &str) -> Result<Vec<Term>> {
    let mut open: Vec<Vec<Term>> = vec![vec![]];
    let clean: String =
        text.lines().map(|l| l.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    for word in clean.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match word {
            "(" if open.len() > DEPTH => return Err(Error::new("brackets are nested too deep")),
            "(" => open.push(vec![]),
            ")" => {
                let list = open.pop().unwrap_or_default();
                open.last_mut()
                    .ok_or_else(|| Error::new("a bracket ends that did not begin"))?
                    .push(Term::List(list));
            }
            word => open.last_mut().into_iter().for_each(|l| l.push(Term::Word(word.into()))),
        }
    }
    match open.len() {
        1 => Ok(open.swap_remove(0)),
        _ => Err(Error::new("a bracket does not end")),
    }
}

impl Term {
    fn words(&self) -> Option<(&str, &[Term])> {
        match self {
            Term::List(list) => match list.first() {
                Some(Term::Word(head)) => Some((head, &list[1..])),
                _ => None,
            },
            Term::Word(_) => None,
        }
    }

    /// An input or output, by its letter and number, or a number.
    fn atom(&self) -> Result<Atom> {
        let Term::Word(word) = self else {
            return Err(Error::new("sums inside of comparisons are not read"));
        };
        let numbered = |letter: &str| word.strip_prefix(letter).and_then(|n| n.parse::<usize>().ok());
        match (numbered("X_"), numbered("Y_"), word.parse::<f64>()) {
            (Some(i), ..) => Ok(Atom::Input(i)),
            (_, Some(i), _) => Ok(Atom::Output(i)),
            (_, _, Ok(x)) if x.is_finite() => Ok(Atom::Number(x)),
            _ => Err(Error::new(format!("'{word}' is no value")).expected("X_0, .., Y_0, .. or a number")),
        }
    }
}

#[derive(Clone, Copy)]
enum Atom {
    Input(usize),
    Output(usize),
    Number(f64),
}

impl Property {
    /// Reads a property about `inputs` numbers. Every input needs both bounds.
    ///
    /// # Errors
    /// What is wrong with the text.
    ///
    /// ```
    /// use rhyton_robust::vnnlib::Property;
    /// let text = "(declare-const X_0 Real) (assert (>= X_0 0.1)) (assert (<= X_0 0.3)) (assert (<= Y_1 Y_0))";
    /// let property = Property::read(text, 1)?;
    /// assert_eq!(property.inputs, [(0.1, 0.3)]);
    /// assert_eq!(property.unsafe_if[0][0].factors, [(1, 1.0), (0, -1.0)]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn read(text: &str, inputs: usize) -> Result<Property> {
        let mut found =
            Property { inputs: vec![(f64::NEG_INFINITY, f64::INFINITY); inputs], unsafe_if: vec![vec![]] };
        for term in terms(text)? {
            match term.words() {
                Some(("declare-const" | "declare-fun", _)) => {}
                Some(("assert", [what])) => found.assert(what)?,
                Some((other, _)) => {
                    return Err(
                        Error::new(format!("'{other}' is not read")).expected("declare-const or assert")
                    );
                }
                None => return Err(Error::new("a word stands outside of brackets")),
            }
        }
        let open = found.inputs.iter().position(|(low, high)| !low.is_finite() || !high.is_finite());
        if let Some(i) = open {
            return Err(Error::new(format!("X_{i} has no bounds on both sides"))
                .expected("(assert (<= X_i ..)) and (assert (>= X_i ..))"));
        }
        if let Some(i) = found.inputs.iter().position(|(low, high)| low > high) {
            return Err(Error::new(format!("the bounds of X_{i} leave nothing")));
        }
        Ok(found)
    }

    fn assert(&mut self, what: &Term) -> Result<()> {
        match what.words() {
            Some(("and", all)) => all.iter().try_for_each(|one| self.assert(one)),
            Some(("or", any)) => {
                let groups = any.iter().map(outputs).collect::<Result<Vec<_>>>()?;
                // Each group so far, with each of these.
                let both =
                    self.unsafe_if.iter().flat_map(|a| groups.iter().map(|b| [&a[..], &b[..]].concat()));
                let both: Vec<Vec<Constraint>> = both.collect();
                if both.len() > 1 << 16 {
                    return Err(Error::new("there are too many cases"));
                }
                self.unsafe_if = both;
                Ok(())
            }
            Some(("<=" | ">=" | "<" | ">", _)) => {
                let (low, high) = compared(what)?;
                match (low, high) {
                    (Atom::Input(i), Atom::Number(x)) => self.bound(i, x, false),
                    (Atom::Number(x), Atom::Input(i)) => self.bound(i, x, true),
                    _ => {
                        let one = constraint(low, high)?;
                        self.unsafe_if.iter_mut().for_each(|group| group.push(one.clone()));
                        Ok(())
                    }
                }
            }
            _ => Err(Error::new("this assertion is not read").expected("<=, >=, and, or")),
        }
    }

    fn bound(&mut self, input: usize, x: f64, is_low: bool) -> Result<()> {
        let n = self.inputs.len();
        let (low, high) = self.inputs.get_mut(input).ok_or_else(|| {
            Error::new(format!("there is no input X_{input}")).expected(format!("a number below {n}"))
        })?;
        if is_low {
            *low = low.max(x)
        } else {
            *high = high.min(x)
        }
        Ok(())
    }
}

/// The smaller and the larger side.
fn compared(what: &Term) -> Result<(Atom, Atom)> {
    match what.words() {
        Some(("<=" | "<", [a, b])) => Ok((a.atom()?, b.atom()?)),
        Some((">=" | ">", [a, b])) => Ok((b.atom()?, a.atom()?)),
        _ => Err(Error::new("a comparison needs two sides")),
    }
}

fn constraint(low: Atom, high: Atom) -> Result<Constraint> {
    let (mut factors, mut limit) = (vec![], 0.0);
    for (atom, sign) in [(low, 1.0), (high, -1.0)] {
        match atom {
            Atom::Output(i) => factors.push((i, sign)),
            Atom::Number(x) => limit -= sign * x,
            Atom::Input(_) => return Err(Error::new("inputs are compared with numbers only")),
        }
    }
    Ok(Constraint { factors, limit })
}

/// A group of constraints of outputs.
fn outputs(what: &Term) -> Result<Vec<Constraint>> {
    match what.words() {
        Some(("and", all)) => Ok(all.iter().map(outputs).collect::<Result<Vec<_>>>()?.concat()),
        _ => {
            let (low, high) = compared(what)?;
            Ok(vec![constraint(low, high)?])
        }
    }
}
