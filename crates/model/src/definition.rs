//! [`Definition`]: what a model is made of, without weights. A definition is a layer too: models nest.

use crate::structure::Structure;
use crate::symbolic::{Inputs, Symbolic, SymbolicCall, obeyed};
use rhyton_graph::{Expr, Type};
use rhyton_nn::layer::{
    Args, Base, Based, Cx, Layer, LayerRef, Outputs, Value, check_name, float_as, plain_config,
};
use rhyton_nn::object::{Object, snake_case};
use rhyton_nn::quantizers::Quantization;
use rhyton_tensor::{DType, Error, Result, Source, Tensor};
use serde_json::{Map, Value as Json};
use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How a model was written, which decides its paths and its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A list of layers.
    Sequential,
    /// A graph of layers.
    Functional,
}

/// A layer of a model.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique in the model.
    pub name: String,
    /// The layer.
    pub layer: LayerRef,
    /// Its place in weight files: `layers/dense_1`; counted per class, whatever the names.
    pub location: String,
}

/// One call of a layer.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Index of the layer's entry.
    pub layer: usize,
    /// Positional inputs: (call, output).
    pub inputs: Vec<(usize, usize)>,
    /// Named tensors.
    pub named: Vec<(String, Vec<(usize, usize)>)>,
    /// Positional arguments that are no tensors, each with its position among all.
    pub literals: Vec<(usize, Json)>,
    /// Settings of the call.
    pub settings: Map<String, Json>,
}

/// Layers and how they are connected; no weights.
#[derive(Clone, Debug)]
pub struct Definition {
    pub(crate) base: Base,
    /// How it was written.
    pub form: Form,
    /// Layers, in Keras's order.
    pub entries: Vec<Entry>,
    /// Calls, each after what it reads. Inputs are calls too.
    pub calls: Vec<Call>,
    /// The calls that are inputs, in the order data is given.
    pub inputs: Vec<usize>,
    /// What each input takes.
    pub input_types: Vec<Type>,
    /// (call, output) of each output.
    pub outputs: Vec<(usize, usize)>,
    /// How the inputs are put together.
    pub(crate) takes: Structure,
    /// How the outputs are put together.
    pub(crate) gives: Structure,
    /// Trained values that come along when the model is used as a layer, by path inside the model.
    pub(crate) values: HashMap<String, Tensor>,
}

impl Definition {
    /// The graph between `inputs` and `outputs`, its layers in Keras's order: by depth, then as first reached
    /// from the outputs.
    pub(crate) fn of(
        base: Base,
        form: Form,
        inputs: &[Symbolic],
        outputs: &[Symbolic],
    ) -> Result<Definition> {
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::new("a model needs at least one input and one output"));
        }
        check_name(base.name.as_deref())?;
        let order = calls_in_order(inputs, outputs)?;
        let position: HashMap<*const SymbolicCall, usize> =
            order.iter().enumerate().map(|(i, c)| (Arc::as_ptr(c), i)).collect();
        let at = |s: &Symbolic| (position[&Arc::as_ptr(&s.call)], s.output);
        let (layers, layer_of) = layers_by_depth(&order, outputs, &position);
        let given = identities(inputs);
        let calls = order
            .iter()
            .zip(&layer_of)
            .map(|(c, layer)| {
                // What an input reads lies outside of the model.
                let reads = if given.contains(&Arc::as_ptr(c)) { &Inputs::default() } else { &c.inputs };
                let at_all = |v: &[Symbolic]| v.iter().map(at).collect::<Vec<_>>();
                Call {
                    layer: *layer,
                    inputs: at_all(&reads.positional),
                    named: reads.named.iter().map(|(n, v)| (n.clone(), at_all(v))).collect(),
                    literals: c.inputs.literals.clone(),
                    settings: c.inputs.settings.clone(),
                }
            })
            .collect();
        let entries = entries(layers, form)?;
        let input_of = |i: &Symbolic| input_type(&entries[layer_of[at(i).0]], &base.source);
        let input_types = inputs.iter().map(input_of).collect::<Result<_>>()?;
        Ok(Definition {
            base,
            form,
            entries,
            calls,
            inputs: inputs.iter().map(|i| at(i).0).collect(),
            input_types,
            outputs: outputs.iter().map(at).collect(),
            takes: Structure::flat(inputs.len()),
            gives: Structure::flat(outputs.len()),
            values: HashMap::new(),
        })
    }

    /// The model's name.
    pub fn name(&self) -> String {
        self.base.name.clone().unwrap_or_else(|| snake_case(self.class_name()))
    }

    /// The prefix of the paths of its weights when it is not nested.
    pub fn root_path(&self) -> String {
        if self.form == Form::Sequential { self.name() } else { String::new() }
    }

    /// Names of the inputs, in order.
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|c| self.entries[self.calls[*c].layer].name.clone()).collect()
    }

    /// Names of the outputs, in order: the keys of a dictionary of outputs, otherwise the names of the layers that
    /// make them.
    pub fn output_names(&self) -> Vec<String> {
        if let Some(keys) = self.gives.keys() {
            return keys;
        }
        self.outputs.iter().map(|(c, _)| self.entries[self.calls[*c].layer].name.clone()).collect()
    }

    /// Every value of the model for these inputs, by call.
    pub fn trace(&self, cx: &mut Cx<'_>, inputs: &[Value]) -> Vec<Vec<Value>> {
        rhyton_nn::policy::within(self.base.policy(), || self.calls_in(cx, inputs))
    }

    fn calls_in(&self, cx: &mut Cx<'_>, inputs: &[Value]) -> Vec<Vec<Value>> {
        let mut values: Vec<Vec<Value>> = Vec::with_capacity(self.calls.len());
        let given: HashMap<usize, usize> =
            self.inputs.iter().enumerate().rev().map(|(k, c)| (*c, k)).collect();
        for (i, call) in self.calls.iter().enumerate() {
            if let Some(k) = given.get(&i).copied() {
                if self.form == Form::Functional {
                    let entry = &self.entries[call.layer];
                    cx.visit(&entry.location, &entry.name);
                }
                let missing =
                    || Expr::poison(Error::new(format!("the model takes {} inputs", self.inputs.len())));
                values.push(vec![inputs.get(k).cloned().unwrap_or_else(|| missing().into())]);
                continue;
            }
            let get = |at: &[(usize, usize)]| -> Vec<Value> {
                at.iter()
                    .map(|(c, o)| {
                        let made = &values[*c];
                        made.get(*o).unwrap_or(&made[0]).clone()
                    })
                    .collect()
            };
            let args = Args {
                inputs: get(&call.inputs),
                named: call.named.iter().map(|(n, at)| (n.clone(), get(at))).collect(),
                literals: call.literals.clone(),
                settings: obeyed(&call.settings),
            };
            let entry = &self.entries[call.layer];
            let Outputs(out) = cx.call(&entry.layer, &entry.location, &entry.name, &args);
            values.push(out);
        }
        values
    }

    /// The outputs among the values of [`Definition::trace`]; floats are float32 outside of the model.
    pub(crate) fn results(&self, values: &[Vec<Value>]) -> Result<Vec<Value>> {
        let missing = |o: &usize| Error::new(format!("a layer has no output {o}"));
        let of = |(c, o): &(usize, usize)| {
            let made = values[*c].get(*o).ok_or_else(|| missing(o))?;
            Ok(Value { expr: float_as(&made.expr, DType::F32), mask: made.mask.clone() })
        };
        self.outputs.iter().map(of).collect()
    }

    /// The number of each call among the calls of its layer.
    pub(crate) fn call_numbers(&self) -> Vec<usize> {
        let mut made = vec![0; self.entries.len()];
        let number = |c: &Call| {
            made[c.layer] += 1;
            made[c.layer] - 1
        };
        self.calls.iter().map(number).collect()
    }

    /// The calls of each entry.
    pub(crate) fn calls_by_entry(&self) -> Vec<Vec<usize>> {
        let mut of = vec![vec![]; self.entries.len()];
        self.calls.iter().enumerate().for_each(|(i, c)| of[c.layer].push(i));
        of
    }
}

/// Positions of weights' locations in Keras's order of weights.
pub(crate) struct Ranks<'d> {
    /// Number of an entry, by the location it has.
    entries: HashMap<&'d str, usize>,
    nested: HashMap<usize, Ranks<'d>>,
}

impl<'d> Ranks<'d> {
    pub(crate) fn of(d: &'d Definition) -> Ranks<'d> {
        let entries = d.entries.iter().enumerate();
        let inside = |(i, e): (usize, &'d Entry)| Some((i, Ranks::of(nested(&**e.layer.known()?)?)));
        Ranks {
            entries: entries.clone().map(|(i, e)| (e.location.as_str(), i)).collect(),
            nested: entries.filter_map(inside).collect(),
        }
    }

    /// A location starts with that of its entry: two steps, or one (`input`).
    pub(crate) fn rank(&self, location: &str) -> Vec<usize> {
        let ends = location.match_indices('/').map(|(i, _)| i).chain([location.len()]);
        let found = ends.take(2).find_map(|end| Some((*self.entries.get(location.get(..end)?)?, end)));
        let Some((i, end)) = found else { return vec![] };
        let mut rank = vec![i];
        if let (Some(nested), Some(inside)) = (self.nested.get(&i), location.get(end + 1..)) {
            rank.extend(nested.rank(inside));
        }
        rank
    }
}

/// Calls between inputs and outputs, each after what it reads.
fn calls_in_order(inputs: &[Symbolic], outputs: &[Symbolic]) -> Result<Vec<Arc<SymbolicCall>>> {
    let mut order: Vec<Arc<SymbolicCall>> = vec![];
    let mut seen: HashSet<*const SymbolicCall> = HashSet::new();
    let given = identities(inputs);
    let is_input = |c: &Arc<SymbolicCall>| given.contains(&Arc::as_ptr(c));
    let reads = |c: &Arc<SymbolicCall>| -> std::vec::IntoIter<Symbolic> {
        let all = if is_input(c) { vec![] } else { c.inputs.all().cloned().collect() };
        all.into_iter()
    };
    for root in outputs.iter().chain(inputs) {
        if !seen.insert(Arc::as_ptr(&root.call)) {
            continue;
        }
        let mut stack = vec![(root.call.clone(), reads(&root.call))];
        while let Some((_, pending)) = stack.last_mut() {
            match pending.next() {
                Some(s) => {
                    if seen.insert(Arc::as_ptr(&s.call)) {
                        stack.push((s.call.clone(), reads(&s.call)));
                    }
                }
                None => order.extend(stack.pop().map(|(c, _)| c)),
            }
        }
    }
    let loose =
        |c: &&Arc<SymbolicCall>| !is_input(c) && c.layer.get().is_ok_and(|l| l.class_name() == "InputLayer");
    match order.iter().find(loose) {
        Some(c) => Err(Error::new("an output depends on an input that the model does not list")
            .source(&c.source)
            .fix("pass this input to Model::new as well")),
        None => Ok(order),
    }
}

fn identities(values: &[Symbolic]) -> HashSet<*const SymbolicCall> {
    values.iter().map(|s| Arc::as_ptr(&s.call)).collect()
}

/// Layers sorted as Keras sorts them, and the index of each call's layer among them.
fn layers_by_depth(
    order: &[Arc<SymbolicCall>],
    outputs: &[Symbolic],
    position: &HashMap<*const SymbolicCall, usize>,
) -> (Vec<LayerRef>, Vec<usize>) {
    let identity = |c: &Arc<SymbolicCall>| match c.layer.get() {
        Ok(l) => Arc::as_ptr(l).cast::<()>(),
        Err(_) => Arc::as_ptr(c).cast::<()>(),
    };
    // Depth of a layer: the longest way from it to an output.
    let mut call_depth = vec![0usize; order.len()];
    let mut depth: HashMap<*const (), usize> = HashMap::new();
    for (i, c) in order.iter().enumerate().rev() {
        let d = call_depth[i].max(depth.get(&identity(c)).copied().unwrap_or(0));
        depth.insert(identity(c), d);
        for s in c.inputs.all() {
            if let Some(p) = position.get(&Arc::as_ptr(&s.call)) {
                call_depth[*p] = call_depth[*p].max(d + 1);
            }
        }
    }
    // First reached from the outputs, depth first; then the rest.
    let (mut unique, mut number) = (vec![], HashMap::new());
    let mut reach = |c: &Arc<SymbolicCall>| {
        number.entry(identity(c)).or_insert_with(|| {
            unique.push(c.layer.clone());
            unique.len() - 1
        });
    };
    let mut seen = HashSet::new();
    let mut stack: Vec<&Arc<SymbolicCall>> = outputs.iter().rev().map(|o| &o.call).collect();
    while let Some(c) = stack.pop() {
        if !position.contains_key(&Arc::as_ptr(c)) || !seen.insert(Arc::as_ptr(c)) {
            continue;
        }
        reach(c);
        let reads: Vec<&Symbolic> = c.inputs.all().collect();
        stack.extend(reads.into_iter().rev().map(|s| &s.call));
    }
    order.iter().for_each(reach);
    let mut depths = vec![0; unique.len()];
    number.iter().for_each(|(identity, i)| depths[*i] = depth.get(identity).copied().unwrap_or(0));
    let mut sorted: Vec<usize> = (0..unique.len()).collect();
    sorted.sort_by_key(|i| std::cmp::Reverse(depths[*i]));
    let mut place = vec![0; unique.len()];
    sorted.iter().enumerate().for_each(|(to, from)| place[*from] = to);
    let layer_of = order.iter().map(|c| place[number[&identity(c)]]).collect();
    (sorted.into_iter().map(|i| unique[i].clone()).collect(), layer_of)
}

/// Names and places of layers. Unnamed ones are numbered by class; names must be unique.
pub(crate) fn entries(layers: Vec<LayerRef>, form: Form) -> Result<Vec<Entry>> {
    let named = |l: &LayerRef| l.get().ok().and_then(|l| l.base().name.clone());
    let taken: HashSet<String> = layers.iter().filter_map(named).collect();
    let (mut numbers, mut places) = (HashMap::<String, usize>::new(), HashMap::<String, usize>::new());
    let mut used = HashSet::new();
    let mut entries = vec![];
    for layer in layers {
        let object = layer.get()?;
        let class = snake_case(object.class_name());
        let mut auto = || loop {
            let n = numbers.entry(class.clone()).or_default();
            *n += 1;
            let name = if *n == 1 { class.clone() } else { format!("{class}_{}", *n - 1) };
            if !taken.contains(&name) {
                return name;
            }
        };
        let name = named(&layer).unwrap_or_else(&mut auto);
        check_name(Some(&name)).map_err(|e| e.source(&object.base().source))?;
        if !used.insert(name.clone()) {
            return Err(Error::new(format!("two layers of the model are called '{name}'"))
                .source(&object.base().source)
                .fix("give one of them another name"));
        }
        // A Sequential keeps its input apart from its layers, and operations are none.
        let location = if form == Form::Sequential && class == "input_layer" {
            String::from("input")
        } else if rhyton_nn::layers::Operation::is(&**object) {
            format!("{}/{name}", rhyton_nn::layer::OPERATIONS)
        } else {
            let n = places.entry(class.clone()).or_default();
            *n += 1;
            if *n == 1 { format!("layers/{class}") } else { format!("layers/{class}_{}", *n - 1) }
        };
        entries.push(Entry { name, layer: layer.clone(), location });
    }
    Ok(entries)
}

/// What an input layer gives, and so takes.
fn input_type(entry: &Entry, source: &Source) -> Result<Type> {
    let mut trace = rhyton_nn::layer::Trace::new(false);
    let mut cx = Cx::root(&mut trace, "", source);
    let Outputs(v) = cx.call(&entry.layer, "", &entry.name, &Args::default());
    match v[0].expr.error() {
        Some(e) => Err(e.clone()),
        None => Ok(v[0].expr.ty().clone()),
    }
}

/// The definition of a layer that is a model.
pub(crate) fn nested(layer: &dyn Layer) -> Option<&Definition> {
    (layer as &dyn Any).downcast_ref()
}

impl Object for Definition {
    fn class_name(&self) -> &'static str {
        if self.form == Form::Sequential { "Sequential" } else { "Functional" }
    }

    fn config(&self) -> Map<String, Json> {
        crate::json::config(self)
    }

    fn module(&self) -> Option<&'static str> {
        Some(if self.form == Form::Sequential { "keras" } else { "keras.src.models.functional" })
    }
}

impl Based for Definition {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
}

impl Layer for Definition {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        if args.inputs.len() != self.inputs.len() {
            let what = format!(
                "the model '{}' takes {} inputs, got {}",
                self.name(),
                self.inputs.len(),
                args.inputs.len()
            );
            return Error::new(what).expected(self.input_names().join(", ")).into();
        }
        for ((v, t), name) in args.inputs.iter().zip(&self.input_types).zip(self.input_names()) {
            if v.expr.rank() != t.shape.rank() {
                let what = format!("the input '{name}' of the model has the shape {}", v.expr.shape());
                return Error::new(what).expected(t.shape.to_string()).into();
            }
        }
        let values = self.trace(cx, &args.inputs);
        let of = |(c, o): &(usize, usize)| values[*c].get(*o).unwrap_or(&values[*c][0]).clone();
        self.outputs.iter().map(of).collect::<Vec<Value>>().into()
    }

    fn supports_masking(&self) -> bool {
        false
    }

    fn initial(&self, path: &str) -> Option<Tensor> {
        self.values.get(path).cloned()
    }

    fn passes_types(&self) -> bool {
        true
    }

    fn quantized(&self, mode: Quantization) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(crate::quantize::quantized(self, mode)))
    }

    fn is_model(&self) -> bool {
        true
    }

    fn config_named(&self, name: &str) -> Map<String, Json> {
        plain_config(self, name)
    }
}
