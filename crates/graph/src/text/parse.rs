//! Reads the text of a function.

use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::ops::{Control, Op};
use rhyton_tensor::{DType, Dim, Error, Result, Shape};
use serde::Deserialize;
use std::sync::Arc;

/// Nodes that a text may unfold to when every call is replaced by its body: functions that call functions twice would
/// double with every line.
const MOST_NODES: usize = 1 << 18;
/// How deep calls and loops may nest.
const MOST_LEVELS: usize = 64;

/// Reads what [`super::print`] wrote. The last function of the text is the result.
///
/// # Errors
/// The first line that cannot be read, with its number.
pub fn parse(text: &str) -> Result<Function> {
    let mut functions: Vec<Body> = Vec::new();
    let mut open: Option<Open> = None;
    for (i, line) in text.lines().enumerate() {
        let at = |e: Error| e.place(format!("line {}", i + 1));
        let mut cursor = Cursor(line.trim());
        if cursor.0.is_empty() || cursor.0.starts_with("//") {
            continue;
        }
        match open.as_mut() {
            None => open = Some(head(&mut cursor).map_err(at)?),
            Some(f) if cursor.take("return") => {
                let results = cursor.values(&f.values).map_err(at)?;
                functions.extend(open.take().map(|f| f.close(results)));
            }
            Some(f) => node(&mut cursor, f, &functions).map_err(at)?,
        }
    }
    if open.is_some() {
        return Err(Error::new("the text of the function ends early").expected("return"));
    }
    let last = functions.pop().and_then(|b| Arc::into_inner(b.function));
    let f = last.ok_or_else(|| Error::new("the text holds no function").expected("fn @0 .."))?;
    f.check()?;
    Ok(f)
}

/// A function that is being read.
struct Open {
    name: String,
    attrs: serde_json::Value,
    params: Vec<Expr>,
    /// By number: all results of a node.
    values: Vec<Vec<Expr>>,
    /// Nodes of the bodies it calls, all calls replaced by their bodies.
    unfolded: usize,
    /// How deep its calls nest.
    levels: usize,
}

/// A function that was read.
struct Body {
    function: Arc<Function>,
    unfolded: usize,
    levels: usize,
}

impl Open {
    fn close(self, results: Vec<Expr>) -> Body {
        let function = Function::new(&self.name, self.params, results).with_attrs(self.attrs);
        let unfolded = self.unfolded.saturating_add(self.values.len());
        Body { function: Arc::new(function), unfolded, levels: self.levels + 1 }
    }

    /// The function a call or loop names.
    fn callee(&mut self, cursor: &mut Cursor, functions: &[Body]) -> Result<Arc<Function>> {
        cursor.need("@")?;
        let n = cursor.number()?;
        let body = functions.get(n).ok_or_else(|| Error::new(format!("there is no function @{n}")))?;
        self.unfolded = self.unfolded.saturating_add(body.unfolded);
        self.levels = self.levels.max(body.levels);
        if self.unfolded > MOST_NODES || self.levels > MOST_LEVELS {
            return Err(Error::new(format!(
                "calls nest {} deep and unfold to {} nodes",
                self.levels, self.unfolded
            ))
            .expected(format!("at most {MOST_LEVELS} levels and {MOST_NODES} nodes")));
        }
        Ok(body.function.clone())
    }
}

fn head(cursor: &mut Cursor) -> Result<Open> {
    cursor.need("fn")?;
    cursor.need("@")?;
    cursor.number()?;
    let name = cursor.json()?;
    let attrs = cursor.json()?;
    let name = name.as_str().unwrap_or_default().to_string();
    Ok(Open { name, attrs, params: vec![], values: vec![], unfolded: 0, levels: 0 })
}

#[derive(Deserialize)]
struct ScanAttrs {
    carries: usize,
    xs: usize,
    length: Dim,
    reverse: bool,
}

fn node(cursor: &mut Cursor, f: &mut Open, functions: &[Body]) -> Result<()> {
    cursor.need("%")?;
    if cursor.number()? != f.values.len() {
        return Err(Error::new("nodes are not numbered in order").expected(format!("%{}", f.values.len())));
    }
    cursor.need("=")?;
    let family = cursor.word().to_string();
    let op: Op = match family.as_str() {
        "param" => {
            let name = cursor.json()?;
            let ty = cursor.types()?.remove(0);
            let p = Expr::param(name.as_str().unwrap_or_default(), ty);
            if let Some(e) = p.error() {
                return Err(e.clone());
            }
            f.params.push(p.clone());
            f.values.push(vec![p]);
            return Ok(());
        }
        "call" => Control::Call(f.callee(cursor, functions)?).into(),
        "scan" => {
            let body = f.callee(cursor, functions)?;
            let a: ScanAttrs = serde_json::from_value(cursor.json()?).map_err(wrong)?;
            let ScanAttrs { carries, xs, length, reverse } = a;
            Control::Scan { body, carries, xs, length, reverse }.into()
        }
        _ => {
            let op = serde_json::Map::from_iter([(family, cursor.json()?)]);
            serde_json::from_value(serde_json::Value::Object(op)).map_err(wrong)?
        }
    };
    cursor.need("(")?;
    let inputs = cursor.values(&f.values)?;
    cursor.need(")")?;
    let types = cursor.types()?;
    let all = Expr::apply_all(op, inputs);
    if let Some(e) = all.first().and_then(Expr::error) {
        return Err(e.clone());
    }
    if !all.iter().map(Expr::ty).eq(&types) {
        let have = all.iter().map(|e| e.ty().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::new("the type does not follow from the operation").expected(have));
    }
    f.values.push(all);
    Ok(())
}

fn wrong(e: serde_json::Error) -> Error {
    Error::new(format!("cannot read the operation: {e}"))
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.0.strip_prefix(token).map(str::trim_start);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn need(&mut self, token: &str) -> Result<()> {
        if self.take(token) {
            return Ok(());
        }
        let found: String = self.0.chars().take(20).collect();
        Err(Error::new(format!("found '{found}'")).expected(format!("'{token}'")))
    }

    fn cut(&mut self, inside: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !inside(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.trim_start();
        word
    }

    fn word(&mut self) -> &'a str {
        self.cut(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn number(&mut self) -> Result<usize> {
        let word = self.cut(|c| c.is_ascii_digit());
        word.parse().map_err(|_| Error::new(format!("found '{word}'")).expected("a number"))
    }

    fn json(&mut self) -> Result<serde_json::Value> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter();
        let value = values.next().unwrap_or(Ok(serde_json::Value::Null)).map_err(wrong)?;
        self.0 = self.0.get(values.byte_offset()..).unwrap_or_default().trim_start();
        Ok(value)
    }

    /// `%1, %2.1`
    fn values(&mut self, known: &[Vec<Expr>]) -> Result<Vec<Expr>> {
        let mut found = Vec::new();
        while self.take("%") {
            let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let dotted = self.0[digits..].starts_with('.');
            let n = self.number()?;
            let out = if dotted && self.take(".") { self.number()? } else { 0 };
            let value = known.get(n).and_then(|all| all.get(out));
            found
                .push(value.cloned().ok_or_else(|| Error::new(format!("there is no value %{n}.{out} yet")))?);
            self.take(",");
        }
        Ok(found)
    }

    /// `: float32[2, 3], int32[]`
    fn types(&mut self) -> Result<Vec<Type>> {
        self.need(":")?;
        let mut types = Vec::new();
        loop {
            let word = self.word();
            let dtype = DType::from_name(word).ok_or_else(|| {
                Error::new(format!("'{word}' is no type")).expected("float32, int32 or bool")
            })?;
            self.need("[")?;
            let inside = self.cut(|c| c != ']');
            self.need("]")?;
            let dims = inside.split(", ").filter(|d| !d.is_empty()).map(str::parse::<Dim>);
            types.push(Type {
                dtype,
                shape: Shape(dims.collect::<std::result::Result<_, _>>().map_err(Error::new)?),
            });
            if !self.take(",") {
                return Ok(types);
            }
        }
    }
}
