//! What losses, layers, optimizers and initializers have in common: a class name and a configuration derived from
//! their fields.

use crate::Handle;
use rhyton_tensor::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::fmt;

/// Something with a Keras class name and configuration. The macros [`object!`](crate::object!) and
/// [`layer!`](crate::layer!) implement it.
pub trait Object: Any + fmt::Debug + Send + Sync {
    /// Keras's class name: `MeanSquaredError`.
    fn class_name(&self) -> &'static str;

    /// The configuration, key by key, as Keras's `get_config` gives it.
    fn config(&self) -> Map<String, Value>;

    /// The object with this configuration; `name`, `dtype` and other keys it does not have are ignored.
    ///
    /// # Errors
    /// When a value has the wrong type.
    fn from_config(config: Value) -> Result<Self>
    where
        Self: Sized + DeserializeOwned,
    {
        from_fields(config)
    }

    /// Keras's module, where it is not the one of the kind.
    fn module(&self) -> Option<&'static str> {
        None
    }

    /// The object's record, where it is not the usual one.
    fn record(&self) -> Option<Value> {
        None
    }

    /// The type by which the registry knows the object: its own, or that of the object which it stands for.
    fn type_key(&self) -> TypeId {
        TypeId::of::<Self>()
    }
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

/// An object's fields from its configuration; keys it does not have are ignored.
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
    pub(crate) static INNER: Cell<Option<Error>> = const { Cell::new(None) };
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
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(as $class:literal)? { $($fields:tt)* }) => {
        $crate::object!(@define [$(#[$meta])* $vis] $name {} $($fields)*);
        $crate::object!(@object $name [$($class)?]);
    };
    (@define [$($head:tt)*] $name:ident
        { $($(#[$cmeta:meta])* $cvis:vis $common:ident : $cty:ty = $cdefault:expr)? }
        $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)?
    ) => {
        #[derive(Clone, Debug, $crate::__private::Serialize, $crate::__private::Deserialize)]
        #[serde(default, crate = "rhyton_nn::__private::serde")]
        $($head)* struct $name {
            $($(#[$cmeta])* $cvis $common: $cty,)?
            $($(#[$fmeta])* pub $field: $ty,)*
        }

        impl Default for $name {
            #[track_caller]
            fn default() -> Self { $name { $($common: $cdefault,)? $($field: $default,)* } }
        }

        #[allow(dead_code)]
        impl $name {
            $($(#[$fmeta])*
            #[track_caller]
            pub fn $field(mut self, value: impl $crate::Setting<$ty>) -> Self {
                self.$field = value.setting();
                self
            })*
        }
    };
    (@class $name:ident) => { stringify!($name) };
    (@class $name:ident $class:literal) => { $class };
    (@object $name:ident [$($class:literal)?] $($item:item)*) => {
        impl $crate::Object for $name {
            fn class_name(&self) -> &'static str { $crate::object!(@class $name $($class)?) }
            fn config(&self) -> $crate::__private::Map<String, $crate::__private::Value> {
                $crate::object::fields(self)
            }
            $($item)*
        }
    };
}

/// Defines a layer: [`object!`](crate::object!) with what every layer has besides (see [`Base`](crate::Base)).
#[macro_export]
macro_rules! layer {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(as $class:literal)? { $($fields:tt)* }) => {
        $crate::object!(@define [$(#[$meta])* $vis] $name {
            #[serde(skip)]
            base: $crate::Base = $crate::Base::here()
        } $($fields)*);
        $crate::object!(@object $name [$($class)?]);

        impl $crate::Based for $name {
            fn base(&self) -> &$crate::Base { &self.base }
            fn base_mut(&mut self) -> &mut $crate::Base { &mut self.base }
        }
    };
}
