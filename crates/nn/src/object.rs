//! What losses, layers, optimizers and initializers have in common: a class name, a configuration derived from
//! their fields, and a table of rows that turns names and configurations into objects.

use rhyton_tensor::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;

/// Something with a Keras class name and configuration. The macros [`object!`](crate::object!) and
/// [`layer!`](crate::layer!) implement it.
pub trait Object: fmt::Debug + Send + Sync + 'static {
    /// Keras's class name: `MeanSquaredError`.
    fn class_name(&self) -> &'static str;

    /// The configuration, key by key, as Keras's `get_config` gives it.
    fn config(&self) -> Map<String, Value>;

    /// Keras's module, where it is not the one of the kind.
    fn module(&self) -> Option<&'static str> {
        None
    }
}

/// A kind of object with its table: losses, metrics, initializers, ..
pub trait Kind: Object {
    /// For errors: `loss`.
    const WHAT: &'static str;
    /// Keras's module: `keras.losses`.
    const MODULE: &'static str;
    /// One row per class. Adding a class is adding a file and a row.
    fn rows() -> &'static [Row<Self>];
}

/// One row of a table.
pub struct Row<T: ?Sized + 'static> {
    /// Keras's class name.
    pub class_name: &'static str,
    /// Strings that also name it: `mse`, `mean_squared_error`.
    pub names: &'static [&'static str],
    /// Makes one from a configuration object; missing keys take their defaults.
    pub build: fn(Value) -> Result<Arc<T>>,
    /// One line for listings.
    pub doc: &'static str,
}

/// A shared object of some kind, or the error of having named an unknown one: building never fails, compiling
/// reports. Written and read as Keras's record.
pub struct Handle<T: ?Sized>(std::result::Result<Arc<T>, Error>);

impl<T: ?Sized> Handle<T> {
    /// A handle of an object.
    pub fn new(object: Arc<T>) -> Handle<T> {
        Handle(Ok(object))
    }

    /// A handle that reports `error` when it is used.
    pub fn bad(error: Error) -> Handle<T> {
        Handle(Err(error))
    }

    /// The object, when there is one.
    pub fn known(&self) -> Option<&Arc<T>> {
        self.0.as_ref().ok()
    }

    /// The object.
    ///
    /// # Errors
    /// When it was named by an unknown string.
    pub fn get(&self) -> Result<&Arc<T>> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl<T: ?Sized + Kind> Handle<T> {
    /// The object with this class name, alias or snake-case name, with its defaults.
    ///
    /// # Errors
    /// When there is none; the error proposes the nearest name.
    pub fn named(name: &str) -> Result<Handle<T>> {
        let row = find::<T>(name)?;
        (row.build)(json!({})).map(Handle::new)
    }

    /// From Keras's record `{"class_name": .., "config": {..}}`, a bare name, or the record of a function.
    ///
    /// # Errors
    /// When the class is unknown or its configuration does not fit.
    pub fn from_json(value: &Value) -> Result<Handle<T>> {
        Handle::read(value.clone())
    }

    /// [`Handle::from_json`] that uses the record up: nested records are not copied at every level.
    ///
    /// # Errors
    /// When the class is unknown or its configuration does not fit.
    pub fn read(mut value: Value) -> Result<Handle<T>> {
        if let Value::String(name) = value {
            return Handle::named(&name);
        }
        let Some(class) = value.get("class_name").and_then(Value::as_str).map(String::from) else {
            return Err(Error::new(format!("{value} is no {}", T::WHAT))
                .expected("a name, or an object with class_name and config"));
        };
        if class == "__lambda__" || class == "function" && !value["config"].is_string() {
            return Err(Error::new(format!("a {} holds Python code, which is never run", T::WHAT))
                .fix("replace the lambda by a registered object and save the model again"));
        }
        if class == "function" {
            return Handle::named(value["config"].as_str().unwrap_or_default());
        }
        let row = find::<T>(&class)?;
        let config = value.get_mut("config").map_or_else(|| json!({}), Value::take);
        (row.build)(config).map(Handle::new).map_err(|e| e.place(format!("{} {class}", T::WHAT)))
    }

    /// Keras's record of the object.
    pub fn to_json(&self) -> Value {
        match &self.0 {
            Ok(o) => record(o.module().unwrap_or(T::MODULE), o.class_name(), o.config()),
            Err(_) => Value::Null,
        }
    }
}

/// Keras's record of an object of a public class.
pub fn record(module: &str, class_name: &str, config: Map<String, Value>) -> Value {
    json!({ "module": module, "class_name": class_name, "config": config, "registered_name": null })
}

fn find<T: ?Sized + Kind>(name: &str) -> Result<&'static Row<T>> {
    let rows = T::rows();
    let exact = rows.iter().find(|r| r.class_name == name || r.names.contains(&name));
    if let Some(row) = exact {
        return Ok(row);
    }
    let snake = |r: &&Row<T>| snake_case(r.class_name) == name || r.class_name.eq_ignore_ascii_case(name);
    rows.iter().find(snake).ok_or_else(|| {
        let known = rows.iter().flat_map(|r| r.names.iter().copied().chain([r.class_name]));
        unknown(T::WHAT, name, known)
    })
}

/// The error of an unknown name, with the nearest known one if it is near.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    // A longer name would not be near to anything, and comparing it would take long.
    const LONGEST: usize = 100;
    let far = |k: &str| distance(&k.to_lowercase(), &name.to_lowercase());
    // One slip in a short word, one more for every four letters of a longer one.
    let allowed = |k: &str| 1 + name.len().min(k.len()).saturating_sub(1) / 4;
    let near = known.filter(|_| name.len() <= LONGEST).map(|k| (far(k), k));
    let nearest = near.filter(|(far, k)| *far <= allowed(k)).min_by_key(|(far, _)| *far);
    let error = Error::new(format!("there is no {what} '{name}'"));
    match nearest {
        Some((_, k)) => error.fix(format!("did you mean '{k}'?")),
        // The program takes the last word: `rhyton list schedule`.
        None => {
            let word = what.rsplit(' ').next().unwrap_or(what);
            error.fix(format!("`rhyton list {word}` shows the known ones"))
        }
    }
}

/// How many letters have to be added, left out, replaced or exchanged with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Distances of the beginnings of `a` that are two and one letters shorter, and of this one, to those of `b`.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (vec![], (0..=b.len()).collect());
    for i in 1..=a.len() {
        let mut now = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(now[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            now.push(least);
        }
        before = std::mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or(0)
}

/// Keras's snake case of a class name: `MaxPooling2D` is `max_pooling2d`, `ReLU` is `re_lu`.
pub fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let word_start = c.is_ascii_uppercase() && chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        let after_lower = c.is_ascii_uppercase() && i > 0 && chars[i - 1].is_ascii_lowercase();
        if i > 0 && (word_start || after_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// An object's configuration from its fields.
pub fn fields(object: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(object) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// An object from a configuration; `name`, `dtype` and other keys it does not have are ignored.
///
/// # Errors
/// When a value has the wrong type.
pub fn from_fields<O: DeserializeOwned>(mut config: Value) -> Result<O> {
    INNER.set(None);
    plain_dtype(&mut config);
    serde_json::from_value(config)
        .map_err(|e| INNER.take().unwrap_or_else(|| Error::new(format!("a configuration does not fit: {e}"))))
}

/// Keras writes the `dtype` of an object as a name, as the record of a policy or, where it is the usual one, as null.
fn plain_dtype(config: &mut Value) {
    let Some(map) = config.as_object_mut() else { return };
    match map.get("dtype") {
        Some(Value::Null) => drop(map.shift_remove("dtype")),
        Some(record @ Value::Object(_)) => {
            let name = record["config"]["name"].clone();
            map.insert("dtype".into(), name);
        }
        _ => {}
    }
}

thread_local! {
    /// The error of an object inside a configuration: on its way through serde it would shrink to text.
    static INNER: std::cell::Cell<Option<Error>> = const { std::cell::Cell::new(None) };
}

impl<T: ?Sized> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(o) => o.fmt(f),
            Err(e) => write!(f, "{e}"),
        }
    }
}

impl<T: ?Sized + Kind> Serialize for Handle<T> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_json().serialize(s)
    }
}

impl<'de, T: ?Sized + Kind> Deserialize<'de> for Handle<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Handle::read(Value::deserialize(d)?).map_err(|e| {
            let text = e.to_string();
            INNER.set(Some(e));
            serde::de::Error::custom(text)
        })
    }
}

impl<T: ?Sized + Kind> From<&str> for Handle<T> {
    #[track_caller]
    fn from(name: &str) -> Self {
        match Handle::named(name) {
            Ok(h) => h,
            // No closure: the caller's line would be lost.
            Err(e) => Handle(Err(e.here())),
        }
    }
}

/// What a setter of a field of type `T` takes: the type itself, or something that stands for it.
pub trait Setting<T> {
    /// The field's value.
    fn setting(self) -> T;
}

macro_rules! plain_settings {
    ($($t:ty),*) => { $(
        impl Setting<$t> for $t {
            fn setting(self) -> $t { self }
        }
        impl Setting<Option<$t>> for $t {
            fn setting(self) -> Option<$t> { Some(self) }
        }
        impl Setting<Option<$t>> for Option<$t> {
            fn setting(self) -> Option<$t> { self }
        }
    )* };
}
plain_settings!(bool, usize, i64, f64, u64, String, Value);

impl Setting<String> for &str {
    fn setting(self) -> String {
        self.into()
    }
}
impl Setting<Option<String>> for &str {
    fn setting(self) -> Option<String> {
        Some(self.into())
    }
}
impl<T: ?Sized, X: Into<Handle<T>>> Setting<Handle<T>> for X {
    #[track_caller]
    fn setting(self) -> Handle<T> {
        self.into()
    }
}
impl<T: ?Sized, X: Into<Handle<T>>> Setting<Option<Handle<T>>> for X {
    #[track_caller]
    fn setting(self) -> Option<Handle<T>> {
        Some(self.into())
    }
}

/// Defines a configurable object: public fields with defaults, a setter for each, and its Keras configuration.
///
/// ```
/// use rhyton_nn::Object;
/// rhyton_nn::object! {
///     /// Scales.
///     pub struct Scale {
///         /// By how much.
///         factor: f64 = 2.0,
///     }
/// }
/// assert_eq!(Scale::default().factor(3.0).config()["factor"], 3.0);
/// ```
#[macro_export]
macro_rules! object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(as $class:literal)? {
        $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, $crate::__private::Serialize, $crate::__private::Deserialize)]
        #[serde(default, crate = "rhyton_nn::__private::serde")]
        $vis struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl Default for $name {
            #[track_caller]
            fn default() -> Self { $name { $($field: $default,)* } }
        }

        $crate::object!(@setters $name [$($class)?] $($(#[$fmeta])* $field : $ty,)*);
    };
    (@class $name:ident) => { stringify!($name) };
    (@class $name:ident $class:literal) => { $class };
    (@setters $name:ident [$($class:literal)?] $($(#[$fmeta:meta])* $field:ident : $ty:ty,)*) => {
        #[allow(dead_code)]
        impl $name {
            $($(#[$fmeta])*
            #[track_caller]
            pub fn $field(mut self, value: impl $crate::Setting<$ty>) -> Self {
                self.$field = value.setting();
                self
            })*
        }

        impl $crate::Object for $name {
            fn class_name(&self) -> &'static str { $crate::object!(@class $name $($class)?) }
            fn config(&self) -> $crate::__private::Map<String, $crate::__private::Value> {
                $crate::object::fields(self)
            }
        }
    };
}

/// Defines a layer: [`object!`](crate::object!) with what every layer has besides (see [`Base`](crate::Base)).
#[macro_export]
macro_rules! layer {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(as $class:literal)? {
        $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, $crate::__private::Serialize, $crate::__private::Deserialize)]
        #[serde(default, crate = "rhyton_nn::__private::serde")]
        $vis struct $name {
            #[serde(skip)]
            base: $crate::Base,
            $($(#[$fmeta])* pub $field: $ty,)*
        }

        impl Default for $name {
            #[track_caller]
            fn default() -> Self { $name { base: $crate::Base::here(), $($field: $default,)* } }
        }

        $crate::object!(@setters $name [$($class)?] $($(#[$fmeta])* $field : $ty,)*);

        impl $crate::Based for $name {
            fn base(&self) -> &$crate::Base { &self.base }
            fn base_mut(&mut self) -> &mut $crate::Base { &mut self.base }
        }
    };
}
