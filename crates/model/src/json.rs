//! A model's configuration as Keras writes it, and back.

use crate::bounds::{check_calls, few_settings};
use crate::definition::{Call, Definition, Entry, Form, entries, nested};
use crate::structure::Structure;
use crate::symbolic::{Inputs, Symbolic, apply};
use rhyton_graph::{Type, at_source};
use rhyton_nn::handle::record_of;
use rhyton_nn::layer::{Base, Layer, LayerRef, check_name, layer_record};
use rhyton_nn::layers::{Operation, PartialShape};
use rhyton_tensor::{Error, Result, Source};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// The `config` of a model's record.
pub fn config(definition: &Definition) -> Map<String, Json> {
    let config = rhyton_nn::policy::within(definition.base.policy(), || match definition.form {
        Form::Sequential => sequential_config(definition),
        Form::Functional => functional_config(definition),
    });
    config.as_object().cloned().unwrap_or_default()
}

fn sequential_config(d: &Definition) -> Json {
    let layers: Vec<Json> = d.entries.iter().map(|e| layer_record(&e.layer, &e.name)).collect();
    let input = &d.entries[d.calls[d.inputs[0]].layer];
    let shape = input.layer.to_json()["config"]["batch_shape"].clone();
    json!({
        "name": d.name(), "trainable": d.base.trainable, "dtype": d.base.policy().to_json(),
        "layers": layers, "build_input_shape": shape,
    })
}

fn functional_config(d: &Definition) -> Json {
    let numbers = d.call_numbers();
    let types = value_types(d);
    let triple = |(c, o): (usize, usize)| json!([d.entries[d.calls[c].layer].name, numbers[c], o]);
    let tensor = |at: &(usize, usize)| {
        let (shape, dtype) = types.get(at).map_or((Json::Null, "float32"), |t| {
            let sizes: Vec<Option<usize>> = t.shape.iter().map(rhyton_tensor::Dim::as_fixed).collect();
            (json!(sizes), t.dtype.name())
        });
        let config = json!({ "shape": shape, "dtype": dtype, "keras_history": triple(*at) });
        json!({ "class_name": "__keras_tensor__", "config": config })
    };
    let node = |call: &Call, layer: &LayerRef| {
        let mut args: Vec<Json> = call.inputs.iter().map(&tensor).collect();
        let mut kwargs = call.settings.clone();
        for (at, value) in &call.literals {
            args.insert(args.len().min(*at), value.clone());
        }
        if let Ok(layer) = layer.get() {
            args = arranged(&**layer, args);
        }
        for (name, at) in &call.named {
            let tensors: Vec<Json> = at.iter().map(&tensor).collect();
            let single = tensors.len() == 1 && !name.ends_with("state");
            kwargs.insert(name.clone(), if single { tensors[0].clone() } else { Json::Array(tensors) });
        }
        json!({ "args": args, "kwargs": kwargs })
    };
    let inputs: HashSet<usize> = d.inputs.iter().copied().collect();
    let layers: Vec<Json> = d
        .entries
        .iter()
        .zip(d.calls_by_entry())
        .map(|(e, calls)| {
            let mut r = layer_record(&e.layer, &e.name);
            let calls = calls.iter().filter(|c| !inputs.contains(c));
            r["name"] = e.name.clone().into();
            r["inbound_nodes"] = calls.map(|c| node(&d.calls[*c], &e.layer)).collect::<Vec<_>>().into();
            r
        })
        .collect();
    let end = |(c, o): &(usize, usize)| {
        let first = built_in_nodes(&d.entries[d.calls[*c].layer].layer);
        json!([d.entries[d.calls[*c].layer].name, numbers[*c] + first, o])
    };
    let inputs: Vec<(usize, usize)> = d.inputs.iter().map(|c| (*c, 0)).collect();
    json!({
        "name": d.name(), "trainable": d.base.trainable, "layers": layers,
        "input_layers": d.takes.fill(&mut inputs.iter().map(end)),
        "output_layers": d.gives.fill(&mut d.outputs.iter().map(end)),
    })
}

/// Nested functional models start with a node of their own, which Keras counts where it names inputs and outputs but
/// not where layers read from each other.
fn built_in_nodes(layer: &LayerRef) -> usize {
    let functional = |d: &Definition| d.form == Form::Functional;
    usize::from(layer.known().is_some_and(|l| nested(&**l).is_some_and(functional)))
}

/// The positional arguments of a call as Keras's layers take them: some want one list or one dictionary.
fn arranged(layer: &dyn Layer, args: Vec<Json>) -> Vec<Json> {
    if let Some(model) = nested(layer).filter(|d| d.takes.is_named()) {
        return vec![model.takes.fill(&mut args.into_iter())];
    }
    let joins = ["Attention", "AdditiveAttention"].contains(&layer.class_name())
        || Operation::takes_list(layer.class_name());
    let merges = ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Dot"];
    let merges = merges.contains(&layer.class_name()) && !Operation::is(layer);
    if args.len() > 1 && (layer.is_model() || joins || merges) { vec![args.into()] } else { args }
}

/// The type of every value of a model.
pub(crate) fn value_types(d: &Definition) -> HashMap<(usize, usize), Type> {
    let mut types = HashMap::new();
    let inputs = &d.input_types;
    let mut trace = rhyton_nn::layer::Trace::new(false);
    let given: Vec<_> = inputs.iter().map(|t| rhyton_graph::Expr::param("x", t.clone()).into()).collect();
    let values = d.trace(&mut rhyton_nn::Cx::root(&mut trace, "", &d.base.source), &given);
    for (c, outs) in values.iter().enumerate() {
        types.extend(outs.iter().enumerate().map(|(o, v)| ((c, o), v.expr.ty().clone())));
    }
    types
}

/// The `build` of the rows Sequential and Functional.
///
/// # Errors
/// When a layer is unknown or the connections do not fit.
pub(crate) fn build_definition(config: Json) -> Result<Arc<dyn Layer>> {
    Ok(Arc::new(from_config(config)?))
}

/// A model's definition from the record of a `config.json`.
///
/// # Errors
/// When a layer is unknown, the connections do not fit or the model makes too many calls of layers.
pub fn from_record(record: &Json) -> Result<Definition> {
    match record["class_name"].as_str() {
        Some("Sequential" | "Functional" | "Model") => {
            check_calls(&record["config"])?;
            from_config(record["config"].clone())
        }
        Some(other) => Err(Error::new(format!("the file holds a '{other}', not a model"))
            .expected("Sequential or Functional")
            .fix("build the network with Sequential or Model and save it again")),
        None => Err(Error::new("the configuration names no class")),
    }
}

fn from_config(mut config: Json) -> Result<Definition> {
    let mut base = Base::here();
    base.name = config["name"].as_str().map(String::from);
    base.trainable = config["trainable"].as_bool().unwrap_or(true);
    base.dtype = rhyton_nn::policy::DTypePolicy::from_json(&config["dtype"]).map(Ok);
    check_name(base.name.as_deref())?;
    let Some(Json::Array(records)) = config.get_mut("layers").map(Json::take) else {
        return Err(Error::new("a model's configuration has no layers"));
    };
    let read = |(i, record)| Recorded::read(record, base.source.inside(&format!("layers[{i}]")));
    let layers = records.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    if config.get("input_layers").is_some() {
        functional_from(base, &config, &layers)
    } else {
        sequential_from(base, &config, layers)
    }
}

/// A layer of a file and the nodes where it is called.
struct Recorded {
    name: String,
    layer: LayerRef,
    is_input: bool,
    nodes: Vec<Json>,
    source: Source,
}

impl Recorded {
    /// Uses the record up, so that nested models are not held in a copy for each model around them.
    fn read(mut record: Json, source: Source) -> Result<Recorded> {
        let own = record["config"]["name"].as_str().unwrap_or_default().to_string();
        let name = record["name"].as_str().map_or(own.clone(), String::from);
        let is_input = record["class_name"] == "InputLayer";
        let nodes = match record.get_mut("inbound_nodes").map(Json::take) {
            Some(Json::Array(nodes)) => nodes,
            _ => vec![],
        };
        let layer = at_source(&source, || match Operation::from_record(&record) {
            Some(operation) => operation.map(LayerRef::new),
            None => LayerRef::read(record),
        });
        let layer = layer.map_err(|e| e.place(own).source(&source))?;
        Ok(Recorded { name, layer, is_input, nodes, source })
    }
}

fn sequential_from(base: Base, config: &Json, layers: Vec<Recorded>) -> Result<Definition> {
    let starts_with_input = layers.first().is_some_and(|r| r.is_input);
    let mut layers: Vec<(LayerRef, Source)> = layers.into_iter().map(|r| (r.layer, r.source)).collect();
    if !starts_with_input {
        let Ok(shape) = PartialShape::deserialize(&config["build_input_shape"]) else {
            return Err(Error::new("the model was saved before it knew its input's shape")
                .fix("call or build it once in Keras, then save it"));
        };
        layers.insert(0, (crate::Input::default().batch_shape(shape).into(), base.source.clone()));
    }
    let mut values = vec![apply(layers[0].0.clone(), Inputs::default(), &layers[0].1).swap_remove(0)];
    for (layer, source) in &layers[1..] {
        let next = apply(layer.clone(), Inputs::from(&values[values.len() - 1]), source).swap_remove(0);
        values.push(next);
    }
    Definition::of(base, Form::Sequential, &values[..1], &values[values.len() - 1..])
}

fn functional_from(base: Base, config: &Json, layers: &[Recorded]) -> Result<Definition> {
    let index: HashMap<&str, usize> = layers.iter().enumerate().map(|(i, r)| (r.name.as_str(), i)).collect();
    // made[layer][node] are the outputs of a call, filled as soon as its inputs are there.
    let mut made: Vec<Vec<Option<Vec<Symbolic>>>> =
        layers.iter().map(|r| vec![None; r.nodes.len()]).collect();
    let mut waiting = Waiting::of(layers, &index)?;
    for (i, r) in layers.iter().enumerate().filter(|(_, r)| r.is_input) {
        made[i] = vec![Some(apply(r.layer.clone(), Inputs::default(), &r.source))];
        waiting.is_made((i, 0));
    }
    while let Some((i, n)) = waiting.ready.pop_front() {
        let r = &layers[i];
        let mut look = |t: &Json| lookup(t, &index, &made);
        let inputs = inputs_of(&r.nodes[n], &r.layer, &mut look).map_err(|e| e.place(&r.name))?;
        let Some(inputs) = inputs.filter(|_| !r.is_input) else { continue };
        few_settings(&inputs).map_err(|e| e.place(&r.name))?;
        made[i][n] = Some(apply(r.layer.clone(), inputs, &r.source));
        waiting.is_made((i, n));
    }
    let ends = |key: &str| -> Result<(Structure, Vec<Symbolic>)> {
        let (structure, triples) = Structure::of(&config[key], &|v| v[0].is_string());
        let bad = || {
            Error::new(format!("{key} names a layer that is not connected"))
                .expected("calls that read results of other calls, without a circle")
        };
        let ends = triples.iter().map(|t| end_of(t, layers, &index, &made).ok_or_else(bad));
        Ok((structure, ends.collect::<Result<_>>()?))
    };
    let ((takes, inputs), (gives, outputs)) = (ends("input_layers")?, ends("output_layers")?);
    let mut d = Definition::of(base, Form::Functional, &inputs, &outputs)?;
    (d.takes, d.gives) = (takes, gives);
    reorder(&mut d, layers)?;
    Ok(d)
}

/// A call: layer and node.
type At = (usize, usize);

/// Calls that wait for the results of others: each is looked at once, in whatever order a file lists them.
struct Waiting {
    /// How many calls each call still waits for.
    missing: HashMap<At, usize>,
    /// Who waits for a call.
    behind: HashMap<At, Vec<At>>,
    ready: VecDeque<At>,
}

impl Waiting {
    fn of(layers: &[Recorded], index: &HashMap<&str, usize>) -> Result<Waiting> {
        let (mut missing, mut behind, mut ready) =
            (HashMap::new(), HashMap::<At, Vec<At>>::new(), VecDeque::new());
        for (i, r) in layers.iter().enumerate() {
            for (n, node) in r.nodes.iter().enumerate() {
                let mut triples = vec![];
                references(node, &mut triples);
                let reads = triples.into_iter().map(|t| call_of(t, index)).collect::<Result<HashSet<_>>>();
                let reads = reads.map_err(|e| e.place(&r.name))?;
                if reads.is_empty() {
                    ready.push_back((i, n));
                }
                missing.insert((i, n), reads.len());
                reads.into_iter().for_each(|at| behind.entry(at).or_default().push((i, n)));
            }
        }
        Ok(Waiting { missing, behind, ready })
    }

    /// The results of `call` are there.
    fn is_made(&mut self, call: At) {
        for next in self.behind.remove(&call).unwrap_or_default() {
            if let Some(n) = self.missing.get_mut(&next) {
                *n -= 1;
                if *n == 0 {
                    self.ready.push_back(next);
                }
            }
        }
    }
}

/// Puts the layers into the order of the file.
fn reorder(d: &mut Definition, layers: &[Recorded]) -> Result<()> {
    let identity = |l: &LayerRef| l.get().ok().map(|l| Arc::as_ptr(l).cast::<()>());
    let position: HashMap<_, usize> =
        layers.iter().enumerate().map(|(i, r)| (identity(&r.layer), i)).collect();
    let at = |e: &Entry| position.get(&identity(&e.layer)).copied().unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..d.entries.len()).collect();
    order.sort_by_cached_key(|i| at(&d.entries[*i]));
    let mut new_index = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, old)| new_index[*old] = new);
    d.calls.iter_mut().for_each(|c| c.layer = new_index[c.layer]);
    d.entries = entries(order.iter().map(|i| d.entries[*i].layer.clone()).collect(), d.form)?;
    Ok(())
}

/// The arguments of a node, once all its tensors are there.
fn inputs_of(
    node: &Json,
    layer: &LayerRef,
    look: &mut impl FnMut(&Json) -> Result<Option<Symbolic>>,
) -> Result<Option<Inputs>> {
    let mut inputs = Inputs::default();
    let (args, mut kwargs) = arguments_of(node);
    // Where the first argument was given by its name.
    let first = if args.is_empty() { kwargs.shift_remove("inputs") } else { None };
    let mut position = 0;
    for arg in first.iter().chain(&args) {
        let operands = operands_in(arg, layer);
        if !operands.iter().any(|o| is_tensor(o)) {
            if !arg.is_null() {
                inputs.literals.push((position, arg.clone()));
            }
            position += 1;
            continue;
        }
        for operand in operands {
            if is_tensor(operand) {
                let Some(s) = look(&operand["config"]["keras_history"])? else { return Ok(None) };
                inputs.positional.push(s);
            } else {
                inputs.literals.push((position, operand.clone()));
            }
            position += 1;
        }
    }
    for (name, value) in kwargs {
        let (_, leaves) = Structure::of(&value, &is_record);
        let mut found = vec![];
        for tensor in leaves.iter().filter(|v| is_tensor(v)) {
            let Some(s) = look(&tensor["config"]["keras_history"])? else { return Ok(None) };
            found.push(s);
        }
        if !found.is_empty() {
            inputs.named.push((name, found));
        } else if !value.is_null() {
            inputs.settings.insert(name, value);
        }
    }
    Ok(Some(inputs))
}

/// Positional and named arguments of a node. Keras 2 wrote a list of tensors, with named arguments behind the first.
fn arguments_of(node: &Json) -> (Vec<Json>, Map<String, Json>) {
    let object = |v: &Json| v.as_object().cloned().unwrap_or_default();
    let Some(list) = node.as_array() else {
        return (node["args"].as_array().cloned().unwrap_or_default(), object(&node["kwargs"]));
    };
    let tensor = |t: &Json| json!({"class_name": "__keras_tensor__", "config": {"keras_history": t}});
    (list.iter().map(tensor).collect(), list.first().map(|t| object(&t[3])).unwrap_or_default())
}

/// What an argument holds, in Keras's order. A nested model that lists its inputs takes a dictionary by their names.
fn operands_in<'a>(arg: &'a Json, layer: &LayerRef) -> Vec<&'a Json> {
    let model = layer.known().and_then(|l| nested(&**l)).filter(|d| !d.takes.is_named());
    let by_name = |d: &Definition| d.input_names().iter().map(|n| arg.get(n)).collect::<Option<Vec<&Json>>>();
    match model.filter(|_| arg.is_object() && !is_record(arg)).and_then(by_name) {
        Some(operands) => operands,
        None => Structure::of(arg, &is_record).1,
    }
}

/// Whether this is Keras's record of something: a tensor, a slice, ..
fn is_record(value: &Json) -> bool {
    value["class_name"].is_string()
}

fn is_tensor(value: &Json) -> bool {
    value["class_name"] == "__keras_tensor__"
}

type Made = [Vec<Option<Vec<Symbolic>>>];

fn lookup(triple: &Json, index: &HashMap<&str, usize>, made: &Made) -> Result<Option<Symbolic>> {
    call_of(triple, index).map(|_| lookup_triple(triple, index, made))
}

/// The call that makes a tensor.
fn call_of(triple: &Json, index: &HashMap<&str, usize>) -> Result<At> {
    let name = triple[0].as_str().unwrap_or_default();
    let unknown = || Error::new(format!("an input comes from the layer '{name}', which does not exist"));
    let layer = index.get(name).ok_or_else(unknown)?;
    Ok((*layer, triple[1].as_u64().map_or(usize::MAX, |n| n as usize)))
}

/// Every tensor that a node reads, wherever it stands.
fn references<'a>(node: &'a Json, into: &mut Vec<&'a Json>) {
    match node {
        Json::Array(triples) => into.extend(triples),
        _ => all_tensors(node, into),
    }
}

fn all_tensors<'a>(value: &'a Json, into: &mut Vec<&'a Json>) {
    match value {
        Json::Object(o) if o.get("class_name").is_some_and(|c| c == "__keras_tensor__") => {
            into.push(&value["config"]["keras_history"]);
        }
        Json::Object(map) => map.values().for_each(|v| all_tensors(v, into)),
        Json::Array(items) => items.iter().for_each(|v| all_tensors(v, into)),
        _ => {}
    }
}

fn lookup_triple(triple: &Json, index: &HashMap<&str, usize>, made: &Made) -> Option<Symbolic> {
    let layer = *index.get(triple[0].as_str()?)?;
    let (node, tensor) = (triple[1].as_u64()? as usize, triple[2].as_u64()? as usize);
    made[layer].get(node)?.as_ref()?.get(tensor).cloned()
}

/// The tensor that `input_layers` or `output_layers` names. As in Keras, number 0 of a nested functional model is its
/// last call.
fn end_of(triple: &Json, layers: &[Recorded], index: &HashMap<&str, usize>, made: &Made) -> Option<Symbolic> {
    let layer = *index.get(triple[0].as_str()?)?;
    let (node, tensor) = (triple[1].as_u64()? as usize, triple[2].as_u64()? as usize);
    let calls = &made[layer];
    let node =
        node.checked_sub(built_in_nodes(&layers[layer].layer)).or_else(|| calls.len().checked_sub(1))?;
    calls.get(node)?.as_ref()?.get(tensor).cloned()
}

/// The record of a whole model: what `config.json` holds.
pub fn model_record(definition: &Definition, compile_config: Json) -> Json {
    let mut r = record_of::<dyn Layer>(definition, config(definition));
    let shape = r["config"]["build_input_shape"].clone();
    r["build_config"] = json!({ "input_shape": shape });
    r["compile_config"] = compile_config;
    r
}
