//! [`Pipeline`]: what happens around an optimizer's updates, as expressions, in Keras's exact order: unscale,
//! accumulate, clip, decay, update, average, constrain, count.

use super::rate::scheduled;
use super::{Common, LearningRate, Moment, OptimizerRef, Slot, Start};
use crate::layer::Variable;
use crate::object::snake_case;
use rhyton_graph::{Expr, Function, Type};
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use std::ops::Range;

/// One tensor of an optimizer's state.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    ty: Type,
    start: Start,
    /// The weight whose copy it starts with, where it does.
    of: usize,
}

/// Where a slot of a weight lies in the state.
type SlotPlaces = Vec<Vec<usize>>;

/// The result of [`Pipeline::apply`].
#[derive(Clone, Debug)]
pub struct Step {
    /// New state, in the order of the old.
    pub state: Vec<Expr>,
    /// New weights, in the order of the variables.
    pub weights: Vec<Expr>,
}

/// An optimizer over certain variables, with the layout of its state. The state is a list of tensors in Keras's
/// order: iteration, learning rate (unless there is a schedule), averages, accumulated gradients, slots,
/// shared scalars.
#[derive(Clone, Debug)]
pub struct Pipeline {
    optimizer: OptimizerRef,
    common: Common,
    variables: Vec<Variable>,
    entries: Vec<Entry>,
    averages: Option<Range<usize>>,
    accumulators: Option<Range<usize>>,
    slots: SlotPlaces,
    shared: Range<usize>,
    /// The pipeline behind a dynamic loss scale, whose state follows the scale's own four tensors.
    inner: Option<Box<Pipeline>>,
}

fn scalar_entry(name: &str, dtype: DType, start: f32) -> Entry {
    Entry {
        name: name.into(),
        ty: Type::new(dtype, rhyton_tensor::Shape::default()),
        start: Start::Value(start),
        of: 0,
    }
}

fn slot_entry(slot: &Slot, v: &Variable, of: usize) -> Entry {
    let ty = match &slot.shape {
        Some(shape) => Type::new(slot.dtype, shape.clone()),
        None => Type::new(slot.dtype, v.weight.shape.clone()),
    };
    Entry { name: format!("{}_{}", v.path.replace('/', "_"), slot.name), ty, start: slot.start, of }
}

impl Pipeline {
    /// The optimizer over trainable variables, in the model's order.
    ///
    /// # Errors
    /// When a setting is out of its range, settings contradict each other, or a constraint is unknown.
    pub fn new(optimizer: &OptimizerRef, variables: &[Variable]) -> Result<Pipeline> {
        let object = optimizer.get()?;
        let common = object.common().clone();
        object.check()?;
        common.check(object.class_name())?;
        for v in variables {
            if let Some(c) = &v.weight.constraint {
                c.get().map_err(|e| e.place(&*v.path))?;
            }
        }
        let mut p = Pipeline {
            optimizer: optimizer.clone(),
            variables: variables.to_vec(),
            entries: vec![scalar_entry("iteration", DType::I32, 0.0)],
            averages: None,
            accumulators: None,
            slots: vec![vec![]; variables.len()],
            shared: 0..0,
            inner: None,
            common,
        };
        if let Some(rate) = p.common.learning_rate.number() {
            p.entries.push(scalar_entry("learning_rate", DType::F32, rate));
        }
        if let Some(scale) = object.scaled() {
            p.entries.push(scalar_entry("step_counter", DType::I32, 0.0));
            p.entries.push(scalar_entry("dynamic_scale", DType::F32, scale.initial_scale as f32));
            let mut inner = Pipeline::new(&scale.inner_optimizer, variables)?;
            // One scale is enough.
            inner.common.loss_scale_factor = None;
            p.entries.extend(inner.entries.iter().cloned());
            p.inner = Some(Box::new(inner));
            return Ok(p);
        }
        p.lay_out();
        Ok(p)
    }

    fn lay_out(&mut self) {
        let Ok(object) = self.optimizer.get().cloned() else { return };
        if self.common.use_ema {
            self.averages = Some(self.one_each("average"));
        }
        if self.common.gradient_accumulation_steps.is_some() {
            self.accumulators = Some(self.one_each("gradient_accumulator"));
        }
        let slots: Vec<Vec<Slot>> = self.variables.iter().map(|v| object.slots(v)).collect();
        let groups = slots.iter().flatten().map(|s| s.group).max().map_or(0, |g| g + 1);
        self.slots = slots.iter().map(|s| vec![0; s.len()]).collect();
        for group in 0..groups {
            for (v, of_v) in slots.iter().enumerate() {
                for (s, slot) in of_v.iter().enumerate().filter(|(_, s)| s.group == group) {
                    self.slots[v][s] = self.entries.len();
                    self.entries.push(slot_entry(slot, &self.variables[v], v));
                }
            }
        }
        let at = self.entries.len();
        self.entries.extend(object.shared().iter().map(|x| scalar_entry("variable", DType::F32, *x)));
        self.shared = at..self.entries.len();
    }

    fn one_each(&mut self, name: &'static str) -> Range<usize> {
        let at = self.entries.len();
        let new = self.variables.iter().enumerate().map(|(i, v)| slot_entry(&Slot::new(name), v, i));
        self.entries.extend(new.collect::<Vec<_>>());
        at..self.entries.len()
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &OptimizerRef {
        &self.optimizer
    }

    /// Its settings that every optimizer has.
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// Names of the state's tensors, in Keras's order.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|e| e.name.clone()).collect()
    }

    /// Types of the state's tensors.
    pub fn types(&self) -> Vec<Type> {
        self.entries.iter().map(|e| e.ty.clone()).collect()
    }

    /// The state before the first step, for weights in the order of the variables.
    ///
    /// # Errors
    /// When a size is unknown or a weight is missing.
    pub fn start(&self, weights: &[Tensor]) -> Result<Vec<Tensor>> {
        let of = |e: &Entry| {
            let elements = e.ty.shape.as_fixed().and_then(|s| memory::elements(&s).ok());
            elements.map_or(0, |n| n.saturating_mul(e.ty.dtype.size_bytes()))
        };
        let all = self.entries.iter().fold(0usize, |n, e| n.saturating_add(of(e)));
        memory::fits(all).map_err(|e| e.place("the state of the optimizer"))?;
        self.entries
            .iter()
            .map(|e| match e.start {
                Start::Weight => {
                    let copy = weights.get(e.of).cloned();
                    copy.ok_or_else(|| Error::new(format!("{} has no weight to start from", e.name)))
                }
                Start::Value(x) => {
                    let Some(shape) = e.ty.shape.as_fixed() else {
                        return Err(Error::new(format!("{} has the unknown shape {}", e.name, e.ty.shape)));
                    };
                    match e.ty.dtype {
                        DType::I32 => Tensor::try_full(shape, x as i32),
                        _ => Tensor::try_full(shape, x),
                    }
                }
            })
            .collect()
    }

    /// Where the learning rate lies in the state; `None` with a schedule, which cannot be set.
    pub fn learning_rate_at(&self) -> Option<usize> {
        if let Some(inner) = &self.inner {
            return inner.learning_rate_at().map(|i| i + self.own());
        }
        self.common.learning_rate.number().map(|_| 1)
    }

    /// The learning rate of the next step, from the state's tensors.
    ///
    /// # Errors
    /// When the state is not this optimizer's, or the schedule fails.
    pub fn learning_rate(&self, state: &[Tensor]) -> Result<f64> {
        let number = |i: usize| {
            let t = state.get(i).filter(|t| t.len() == 1);
            let t = t.ok_or_else(|| Error::new("the state of the optimizer is of another optimizer"))?;
            Ok(t.data().get_f64(0))
        };
        match (&self.inner, &self.common.learning_rate) {
            (Some(inner), _) => inner.learning_rate(state.get(self.own()..).unwrap_or_default()),
            (None, LearningRate::Number(_)) => number(1),
            (None, LearningRate::Schedule(s)) => scheduled(s, number(0)?),
        }
    }

    /// Where the running averages of the weights lie in the state, in the order of the variables. At the end of
    /// `fit` they overwrite the weights.
    pub fn averages(&self) -> Option<Range<usize>> {
        let shift = |r: Range<usize>| r.start + self.own()..r.end + self.own();
        match &self.inner {
            Some(inner) => inner.averages().map(shift),
            None => self.averages.clone(),
        }
    }

    /// The number of tensors before the inner pipeline's.
    fn own(&self) -> usize {
        self.entries.len() - self.inner.as_ref().map_or(0, |i| i.entries.len())
    }

    /// The loss as gradients are taken of it: multiplied by the loss scale where there is one.
    pub fn scale_loss(&self, loss: &Expr, state: &[Expr]) -> Expr {
        let scaled = match self.common.loss_scale_factor {
            Some(factor) => loss * factor as f32,
            None => loss.clone(),
        };
        match (&self.inner, state.get(self.own().wrapping_sub(1))) {
            (Some(inner), Some(scale)) => {
                inner.scale_loss(&(scaled * scale), state.get(self.own()..).unwrap_or_default())
            }
            _ => scaled,
        }
    }

    /// One step: new state and weights from state, weights and gradients of the loss that
    /// [`scale_loss`](Pipeline::scale_loss) gave. A gradient that is the constant 0 leaves its weight and slots as
    /// they are, as Keras does with weights that the loss does not depend on.
    pub fn apply(&self, state: &[Expr], weights: &[Expr], gradients: &[Expr]) -> Step {
        let fits = state.len() == self.entries.len()
            && weights.len() == self.variables.len()
            && gradients.len() == self.variables.len();
        let object = match (self.optimizer.get(), fits) {
            (Ok(object), true) => object,
            (Err(e), _) => return self.poisoned(&Expr::poison(e)),
            (_, false) => {
                let got = (state.len(), weights.len(), gradients.len());
                let what = format!("the optimizer got {got:?} tensors of state, weights and gradients");
                let (s, v) = (self.entries.len(), self.variables.len());
                return self.poisoned(&Expr::poison(Error::new(what).expected(format!("({s}, {v}, {v})"))));
            }
        };
        if let (Some(inner), Some(scale)) = (&self.inner, object.scaled()) {
            return scale.apply(inner, state, weights, gradients);
        }
        super::apply::Applying::new(self, &**object, state).run(weights, gradients)
    }

    fn poisoned(&self, bad: &Expr) -> Step {
        Step {
            state: vec![bad.clone(); self.entries.len()],
            weights: vec![bad.clone(); self.variables.len()],
        }
    }
}

/// The places that applying needs.
impl Pipeline {
    pub(super) fn variables(&self) -> &[Variable] {
        &self.variables
    }
    pub(super) fn slots(&self, variable: usize) -> &[usize] {
        self.slots.get(variable).map_or(&[], Vec::as_slice)
    }
    pub(super) fn accumulators(&self) -> Option<Range<usize>> {
        self.accumulators.clone()
    }
    pub(super) fn shared(&self) -> Range<usize> {
        self.shared.clone()
    }
}

/// One update as a named function, so that printing shows `adam_update` and a backend may have a kernel for it.
pub(super) fn update(
    object: &dyn super::Optimizer,
    at: &Moment,
    g: &Expr,
    w: &Expr,
    slots: &[Expr],
) -> (Expr, Vec<Expr>) {
    let mut inputs = vec![g.clone(), w.clone()];
    inputs.extend_from_slice(slots);
    inputs.extend([at.learning_rate.clone(), at.step.clone()]);
    inputs.extend_from_slice(&at.shared);
    if let Some(bad) = inputs.iter().find(|e| e.is_poisoned()) {
        return (bad.clone(), vec![bad.clone(); slots.len()]);
    }
    let types: Vec<Type> = inputs.iter().map(|e| e.ty().clone()).collect();
    let name = format!("{}_update", snake_case(object.class_name()));
    let function = Function::trace(&name, &types, |p| {
        let (of_weight, scalars) = p.split_at(2 + slots.len());
        let inside = Moment {
            learning_rate: scalars[0].clone(),
            step: scalars[1].clone(),
            shared: scalars[2..].to_vec(),
        };
        let (w, mut rest) = object.update(&inside, &of_weight[0], &of_weight[1], &of_weight[2..]);
        rest.insert(0, w);
        rest
    });
    let mut results = function.call(&inputs);
    let w = results.remove(0);
    (w, results)
}
