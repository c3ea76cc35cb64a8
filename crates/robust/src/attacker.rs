//! [`Attacker`]: which model is attacked, and the programs that do it.

use crate::{Attack, AttackRef, Norm, Victim};
use rhyton_graph::{Expr, Type};
use rhyton_model::program::{Build, Program, class_labels};
use rhyton_model::{Model, Tensors};
use rhyton_tensor::{DType, Error, Result, Shape, Tensor};

/// Attacks a model's first output.
///
/// ```
/// # use rhyton_robust::{Attacker, attacks::Fgsm};
/// # use rhyton_model::Sequential;
/// # use rhyton_nn::layers::Dense;
/// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
/// # rhyton_model::backend::set_backend(reference);
/// let model = Sequential::new([2]).add(Dense::new(3).softmax()).build()?;
/// let x = rhyton_tensor::Tensor::new([4, 2], vec![0.5f32; 8])?;
/// let labels = rhyton_tensor::Tensor::vector(vec![0i32, 1, 2, 0]);
/// let found = Attacker::new(&model).bounds(0.0, 1.0).attack(Fgsm::default().eps(0.1), &x, &labels)?;
/// assert_eq!(found.examples.shape(), [4, 2]);
/// println!("{:.0}% are still right", 100.0 * found.robust_accuracy());
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Attacker<'m> {
    model: &'m Model,
    output: usize,
    input: Option<usize>,
    bounds: (f32, f32),
    batch_size: usize,
    seed: u32,
}

/// What an attack found.
#[derive(Clone, Debug)]
pub struct Adversarial {
    /// The clean inputs, `[samples, ..]`.
    pub clean: Tensor,
    /// The adversarial ones. A sample that withstood has what the attack tried last.
    pub examples: Tensor,
    /// Whether the clean sample is taken for what the attack wants already.
    pub fooled_before: Vec<bool>,
    /// Whether the adversarial one is.
    pub fooled: Vec<bool>,
    targeted: bool,
}

impl Adversarial {
    fn share(&self, fooled: &[bool]) -> f64 {
        let right = fooled.iter().filter(|f| **f == self.targeted).count();
        right as f64 / fooled.len().max(1) as f64
    }

    /// Whether labels are the classes that samples were to be taken for.
    pub fn is_targeted(&self) -> bool {
        self.targeted
    }

    /// The share of clean samples that are taken for their label.
    pub fn clean_accuracy(&self) -> f64 {
        self.share(&self.fooled_before)
    }

    /// The share of adversarial samples that are taken for their label.
    pub fn robust_accuracy(&self) -> f64 {
        self.share(&self.fooled)
    }

    /// How large the change of each sample is.
    pub fn size(&self, norm: Norm) -> Vec<f32> {
        let (clean, examples) = (self.clean.to_vec::<f32>(), self.examples.to_vec::<f32>());
        let n = (clean.len() / self.fooled.len().max(1)).max(1);
        let of = |(a, b): (&[f32], &[f32])| norm.of_values(a.iter().zip(b).map(|(a, b)| b - a));
        clean.chunks(n).zip(examples.chunks(n)).map(of).collect()
    }
}

/// An attack as programs for a model, to be run many times.
pub struct Armed<'m> {
    attacker: Attacker<'m>,
    /// Where fooled samples are spared, the attack that changes nothing.
    look: Option<Compiled>,
    /// The attack, or its stages.
    parts: Vec<Compiled>,
    classes: usize,
    targeted: bool,
}

/// One attack as a program.
struct Compiled {
    program: Program,
    rounds: usize,
    classes: usize,
}

impl<'m> Attacker<'m> {
    /// Attacks the model's first output through its first input of floats, whose values lie between 0 and 1.
    pub fn new(model: &'m Model) -> Attacker<'m> {
        Attacker { model, output: 0, input: None, bounds: (0.0, 1.0), batch_size: 32, seed: 0 }
    }

    /// Which output.
    pub fn output(mut self, output: usize) -> Self {
        self.output = output;
        self
    }

    /// Which input is changed; the others stay.
    pub fn input(mut self, input: usize) -> Self {
        self.input = Some(input);
        self
    }

    /// Least and largest value of the input.
    pub fn bounds(mut self, low: f32, high: f32) -> Self {
        self.bounds = (low, high);
        self
    }

    /// Samples in one run of the program.
    pub fn batch_size(mut self, n: usize) -> Self {
        self.batch_size = n;
        self
    }

    /// Seed of attacks that draw random numbers.
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// Attacks the samples `x` of these classes: what they are or, of a targeted attack, what they are to be taken for.
    ///
    /// # Errors
    /// When the inputs do not fit the model, a label is none of its classes, or the attack does not fit it.
    pub fn attack<'a>(
        &self,
        attack: impl Into<AttackRef>,
        x: impl Into<Tensors<'a>>,
        labels: &Tensor,
    ) -> Result<Adversarial> {
        self.compile(attack)?.attack(x, labels)
    }

    /// The attack as programs for this model, to be run many times.
    ///
    /// # Errors
    /// When the attack does not fit the model.
    pub fn compile(&self, attack: impl Into<AttackRef>) -> Result<Armed<'m>> {
        let attack = attack.into();
        let attack = attack.get()?;
        let (stages, targeted) = (attack.stages(), attack.is_targeted());
        let parts: Vec<&dyn Attack> = match stages.is_empty() {
            true => vec![&**attack],
            false => stages.iter().map(|s| s.get().map(|a| &**a)).collect::<Result<_>>()?,
        };
        let program = |part: Option<&dyn Attack>| {
            self.program(part, targeted).map_err(|e| e.place(part.unwrap_or(&**attack).class_name()))
        };
        let look = attack.spares_fooled().then(|| program(None)).transpose()?;
        let parts = parts.into_iter().map(|part| program(Some(part))).collect::<Result<Vec<_>>>()?;
        let classes = parts.first().map_or(0, |p| p.classes);
        Ok(Armed { attacker: self.clone(), look, parts, classes, targeted })
    }

    fn checked(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        if self.batch_size == 0 {
            return Err(Error::new("batch_size=0").expected("at least 1"));
        }
        let (low, high) = self.bounds;
        if low >= high || low.is_nan() || high.is_nan() {
            return Err(
                Error::new(format!("bounds {low} and {high}")).expected("a smaller and a larger number")
            );
        }
        let inputs = self.model.check_inputs(x)?;
        let values = inputs[self.attacked()?].to_vec::<f32>();
        match values.iter().find(|v| !(low..=high).contains(*v)) {
            Some(v) => Err(Error::new(format!("the input holds {v}"))
                .expected(format!("values between {low} and {high}"))
                .fix("say what lies within: --bounds LOW,HIGH or Attacker::bounds")),
            None => Ok(inputs),
        }
    }

    /// The input that is changed.
    fn attacked(&self) -> Result<usize> {
        let types = &self.model.definition().input_types;
        let is_float = |i: &usize| types.get(*i).is_some_and(|t| t.dtype.is_float());
        let found = match self.input {
            Some(i) => Some(i).filter(is_float),
            None => (0..types.len()).find(is_float),
        };
        found.ok_or_else(|| {
            Error::new("there is no such input of floating-point numbers")
                .place(self.model.name().to_string())
                .expected("an input whose values can be changed a little; numbers of words cannot")
        })
    }

    /// The program of an attack.
    fn program(&self, attack: Option<&dyn Attack>, targeted: bool) -> Result<Compiled> {
        let (mut build, inputs, output) = Build::predicting(self.model, self.output)?;
        let x = &inputs[self.attacked()?];
        let label = build.input_int("label", Shape::default());
        build.trust(std::slice::from_ref(&label));
        let start = build.typed_input("start", x.ty().clone());
        let round = build.typed_input("round", Type::new(DType::I32, Shape::default()));
        let key = build.typed_input("key", Type::new(DType::I32, [2]));
        let victim = Victim::new(x, &output, &label, self.bounds, &key)?;
        let mut victim = victim.targeted(targeted).at_round(&round, &start);
        let (classes, rounds) = (victim.classes(), attack.map_or(1, |a| a.rounds(victim.classes())));
        let end = match attack {
            Some(attack) => attack.perturb(&mut victim)?,
            None => x.clone(),
        };
        let fooled = |at: &Expr| victim.fooled(&victim.logits(at)).cast(DType::F32);
        build.output("examples", &end);
        build.output("fooled", &fooled(&end));
        build.output("before", &fooled(x));
        let program = build.compile("attack", &self.model.backend()?)?;
        Ok(Compiled { program, rounds, classes })
    }
}

impl Armed<'_> {
    /// Attacks the samples `x` of these classes, as [`Attacker::attack`].
    ///
    /// # Errors
    /// When the inputs do not fit the model or a label is none of its classes.
    pub fn attack<'a>(&self, x: impl Into<Tensors<'a>>, labels: &Tensor) -> Result<Adversarial> {
        let (attacker, at) = (&self.attacker, self.attacker.attacked()?);
        let inputs = attacker.checked(x.into())?;
        let samples = inputs[0].shape()[0];
        let labels = class_labels(labels, samples, self.classes)?;
        let clean = inputs[at].clone();
        let (examples, fooled) = (clean.clone(), vec![false; samples]);
        let mut run =
            Run { attacker, at, inputs, labels, examples, fooled, before: vec![false; samples], turns: 0 };
        if let Some(look) = &self.look {
            run.round(look, 0)?;
        }
        for part in &self.parts {
            (0..part.rounds).try_for_each(|round| run.round(part, round))?;
        }
        let Run { examples, fooled, before, .. } = run;
        Ok(Adversarial { clean, examples, fooled_before: before, fooled, targeted: self.targeted })
    }
}

/// Samples under attack.
struct Run<'a> {
    attacker: &'a Attacker<'a>,
    /// The input that is changed.
    at: usize,
    inputs: Vec<Tensor>,
    labels: Tensor,
    examples: Tensor,
    fooled: Vec<bool>,
    /// Whether the clean ones are.
    before: Vec<bool>,
    /// Runs of programs so far: each has random numbers of its own.
    turns: u32,
}

/// Turns of a loop that have random numbers of their own.
const TURNS: u32 = 1 << 16;

impl Run<'_> {
    /// One round on the samples that are not fooled yet.
    fn round(&mut self, compiled: &Compiled, round: usize) -> Result<()> {
        let standing: Vec<usize> = (0..self.fooled.len()).filter(|i| !self.fooled[*i]).collect();
        let (mut examples, mut fooled, mut before) = (vec![], vec![], vec![]);
        let flags = |t: Tensor| t.to_vec::<f32>().into_iter().map(|f| f > 0.0).collect::<Vec<bool>>();
        for rows in standing.chunks(self.attacker.batch_size) {
            let mut results = self.run(compiled, round, rows)?.into_iter();
            let mut next = || results.next().ok_or_else(|| Error::new("the program lost a result"));
            examples.push(next()?);
            fooled.extend(flags(next()?));
            before.extend(flags(next()?));
        }
        if standing.is_empty() {
            return Ok(());
        }
        // Behind the old ones lie the new ones; then each sample takes its own.
        let old = self.fooled.len();
        let all = Tensor::concat_rows(&[&[self.examples.clone()], &examples[..]].concat())?;
        let mut rows: Vec<usize> = (0..old).collect();
        for (i, sample) in standing.into_iter().enumerate() {
            rows[sample] = old + i;
            (self.fooled[sample], self.before[sample]) = (fooled[i], before[i]);
        }
        self.examples = all.rows(&rows)?;
        Ok(())
    }

    fn run(&mut self, compiled: &Compiled, round: usize, rows: &[usize]) -> Result<Vec<Tensor>> {
        let mut batch = self.inputs.iter().map(|t| t.rows(rows)).collect::<Result<Vec<_>>>()?;
        let start = if round == 0 { batch[self.at].clone() } else { self.examples.rows(rows)? };
        let key = vec![self.attacker.seed as i32, self.turns.wrapping_mul(TURNS) as i32];
        self.turns += 1;
        batch.extend([self.labels.rows(rows)?, start, Tensor::scalar(round as i32), Tensor::vector(key)]);
        let mut results = vec![];
        compiled.program.infer(self.attacker.model.values(), &batch, &mut results)?;
        Ok(results)
    }
}

impl std::fmt::Debug for Attacker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attacker({})", self.model.name())
    }
}
