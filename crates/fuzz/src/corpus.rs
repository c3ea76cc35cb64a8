//! Inputs to mutate: the seeds, and every input whose answer was new.

use crate::form::Form;
use rhyton::Result;
use rhyton_tensor::rng::Stream;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Parents beyond this number replace earlier ones.
const MOST: usize = 4000;
/// Longer inputs are not bred from: they cost time and show nothing that short ones do not.
const LONGEST: usize = 1 << 18;

pub struct Corpus {
    inputs: Vec<Vec<u8>>,
    seeds: usize,
    /// Seeds that the target made itself.
    own: usize,
    seed: u64,
    known: HashSet<u64>,
    learned: usize,
}

impl Corpus {
    pub fn new(inputs: Vec<Vec<u8>>, own: usize, seed: u64) -> Corpus {
        let seeds = inputs.len();
        Corpus { inputs, seeds, own, seed, known: HashSet::new(), learned: 0 }
    }

    /// Whether input `number` is a seed of the target itself, which has to be accepted.
    pub fn is_own_seed(&self, number: u64) -> bool {
        number < self.own as u64
    }

    /// The seeds as they are, then mutations of what there is.
    pub fn input(&self, number: u64, form: &Form) -> Vec<u8> {
        if let Some(input) = self.inputs[..self.seeds].get(usize::try_from(number).unwrap_or(usize::MAX)) {
            return input.clone();
        }
        let mut random = Stream::new(self.seed, number as u32, 0x0F02 ^ (number >> 32) as u32);
        let (parent, other) = (self.pick(&mut random), self.pick(&mut random));
        form.mutate(parent, other, &mut random)
    }

    /// As often a seed as any other.
    fn pick(&self, random: &mut Stream) -> &[u8] {
        let among = if random.below(2) == 0 { self.seeds } else { self.inputs.len() };
        match among {
            0 => &[],
            n => &self.inputs[random.below(n as u32) as usize],
        }
    }

    /// Keeps an input whose answer is new; whether it was.
    pub fn learn(&mut self, input: Vec<u8>, answer: &Result<()>) -> bool {
        let mut hasher = DefaultHasher::new();
        match answer {
            Ok(()) => (input.len() + 1).ilog2().hash(&mut hasher),
            Err(e) => e.problems.iter().for_each(|p| wording(&p.what).hash(&mut hasher)),
        }
        let new = self.known.insert(hasher.finish());
        if new && input.len() <= LONGEST {
            if self.inputs.len() < self.seeds + MOST {
                self.inputs.push(input);
            } else {
                let at = self.seeds + self.learned % MOST;
                self.inputs[at] = input;
            }
            self.learned += 1;
        }
        new
    }
}

/// The first words of an error, without what repeats the input: numbers, quotations and lists.
fn wording(text: &str) -> String {
    let mut closing = None;
    let mut out = String::new();
    for c in text.chars() {
        match closing {
            Some(end) if c == end => closing = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => closing = Some(c),
                '[' => closing = Some(']'),
                c if c.is_alphabetic() || c == ' ' => out.push(c),
                _ => {}
            },
        }
    }
    out.split_whitespace().take(30).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton::Error;

    #[test]
    fn inputs_are_a_function_of_seed_and_number() {
        let corpus = |seed| Corpus::new(vec![b"abcdefgh".to_vec(), b"01234567".to_vec()], 2, seed);
        assert_eq!(corpus(1).input(1, &Form::Bytes), b"01234567");
        let inputs = |seed| (2..60).map(|i| corpus(seed).input(i, &Form::Bytes)).collect::<Vec<_>>();
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(7).iter().collect::<HashSet<_>>().len() > 50);
    }

    #[test]
    fn only_a_new_answer_makes_a_parent() {
        let mut corpus = Corpus::new(vec![vec![]], 1, 1);
        let refused = |text: &str| Err(Error::new(text));
        assert!(corpus.learn(vec![1], &refused("3 bytes are missing in 'a'")));
        assert!(!corpus.learn(vec![2], &refused("14 bytes are missing in 'b c'")));
        assert!(corpus.learn(vec![3], &refused("the end is missing")));
        assert_eq!(corpus.inputs, [vec![], vec![1], vec![3]]);
    }
}
