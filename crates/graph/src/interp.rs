//! The reference interpreter: the slow, obvious meaning of a graph, in double precision. It is the oracle every
//! kernel and pass is tested against.

use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::plan::{Param, bind};
use rhyton_tensor::{Bindings, DType, Error, Result, Tensor, memory};
use std::collections::HashMap;

/// A concrete value of the interpreter: every element a double, whatever its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f64>,
}

/// Position of the element at `at` in row-major order.
pub fn offset(shape: &[usize], at: &[usize]) -> usize {
    shape.iter().zip(at).fold(0, |o, (n, i)| o * n + i)
}

/// All coordinates of `shape` in row-major order.
pub fn coordinates(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let n: usize = shape.iter().product();
    (0..n).map(move |mut i| {
        let mut at = vec![0; shape.len()];
        for (slot, size) in at.iter_mut().zip(&shape).rev() {
            *slot = i % size;
            i /= size;
        }
        at
    })
}

impl Value {
    /// Zeros of a type under `bindings`.
    pub(crate) fn zeros(ty: &Type, bindings: &Bindings) -> Result<Value> {
        let shape = ty
            .shape
            .eval(bindings)
            .ok_or_else(|| Error::new(format!("the sizes {} are not all known", ty.shape)))?;
        let data = memory::filled(memory::elements(&shape)?, 0.0)?;
        Ok(Value { dtype: ty.dtype, shape, data })
    }

    /// The value of a tensor.
    pub fn from_tensor(t: &Tensor) -> Value {
        let dtype = crate::ops::control::graph_dtype(t.dtype());
        Value { dtype, shape: t.shape().to_vec(), data: (0..t.len()).map(|i| t.data().get_f64(i)).collect() }
    }

    /// As a tensor of the value's type.
    pub fn to_tensor(&self) -> Result<Tensor> {
        Ok(Tensor::new(self.shape.clone(), self.data.clone())?.cast(self.dtype))
    }

    /// Position of the element at `at`.
    pub fn offset(&self, at: &[usize]) -> usize {
        offset(&self.shape, at)
    }

    /// Entry `t` along the first axis.
    pub(crate) fn entry(&self, t: usize) -> Value {
        let shape = self.shape[1..].to_vec();
        let n: usize = shape.iter().product();
        Value { dtype: self.dtype, shape, data: self.data[t * n..(t + 1) * n].to_vec() }
    }
}

/// Runs a function on values.
///
/// # Errors
/// When the arguments do not fit the parameters.
pub fn run_function(f: &Function, args: &[Value], bindings: &Bindings) -> Result<Vec<Value>> {
    f.check()?;
    if args.len() != f.params.len() {
        return Err(Error::new(format!("{} takes {} values, got {}", f.name, f.params.len(), args.len())));
    }
    let mut values: HashMap<u64, Vec<Value>> =
        f.params.iter().zip(args).map(|(p, v)| (p.node().id, vec![v.clone()])).collect();
    for e in f.nodes() {
        if values.contains_key(&e.node().id) {
            continue;
        }
        let inputs: Vec<&Value> = e.inputs().iter().map(|i| &values[&i.node().id][i.out()]).collect();
        let outs = e.op().interp(&inputs, &e.node().outs, bindings)?;
        values.insert(e.node().id, outs);
    }
    Ok(f.results.iter().map(|r| values[&r.node().id][r.out()].clone()).collect())
}

/// Runs a function on tensors with the interpreter.
///
/// # Errors
/// When the arguments do not fit the parameters.
pub fn interpret(f: &Function, args: &[Tensor]) -> Result<Vec<Tensor>> {
    f.check()?;
    let params: Vec<Param> = f.params.iter().map(Param::of).collect();
    let bindings = bind(&params, &args.iter().map(Tensor::shape).collect::<Vec<_>>())?;
    let value = |(p, t): (&Expr, &Tensor)| Value { dtype: p.dtype(), ..Value::from_tensor(t) };
    let values: Vec<Value> = f.params.iter().zip(args).map(value).collect();
    run_function(f, &values, &bindings)?.iter().map(Value::to_tensor).collect()
}

/// Traces `f` over the shapes of `args` and interprets it: exploration without a backend.
///
/// # Errors
/// Every diagnostic of the expression built.
pub fn eval(f: impl FnOnce(&[Expr]) -> Vec<Expr>, args: &[Tensor]) -> Result<Vec<Tensor>> {
    let types: Vec<Type> =
        args.iter().map(|t| Type::new(crate::ops::control::graph_dtype(t.dtype()), t.shape())).collect();
    interpret(&Function::trace("eval", &types, f), args)
}
