//! [`Handle`]: a shared object of some kind, named by a string, made in code or read from a file.

use crate::object::INNER;
use crate::registry::{Kind, registered_name};
use rhyton_graph::at_source;
use rhyton_graph::expr::current_source;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;

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

    /// [`Handle::get`] for one that is not used any more.
    ///
    /// # Errors
    /// When it was named by an unknown string.
    pub fn into_object(self) -> Result<Arc<T>> {
        self.0
    }
}

impl<T: ?Sized + Kind> Handle<T> {
    /// The object with this class name, alias or snake-case name, with its defaults.
    ///
    /// # Errors
    /// When there is none; the error proposes the nearest name.
    pub fn named(name: &str) -> Result<Handle<T>> {
        let row = T::registry().find(name)?;
        (row.build)(json!({})).map(Handle::new)
    }

    /// The object of this name with these settings, all of which it must have; `note` is a comment.
    ///
    /// # Errors
    /// When there is no such object, it has no such setting, or a value does not fit.
    pub fn with_settings(name: &str, settings: &Map<String, Value>) -> Result<Handle<T>> {
        let row = T::registry().find(name)?;
        let object = (row.build)(Value::Object(settings.clone())).map_err(|e| e.place(name))?;
        let known = object.config();
        match settings.keys().find(|k| *k != "note" && !known.contains_key(*k)) {
            Some(k) => {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                Err(Error::new(format!("there is no setting '{k}'")).place(name).expected(
                    match known.is_empty() {
                        true => "no settings".into(),
                        false => known.join(", "),
                    },
                ))
            }
            None => Ok(Handle::new(object)),
        }
    }

    /// From Keras's record `{"class_name": .., "config": {..}}`, a bare name, or the record of a function.
    ///
    /// # Errors
    /// When the class is unknown or its configuration does not fit.
    #[track_caller]
    pub fn from_json(value: &Value) -> Result<Handle<T>> {
        Handle::read(value.clone())
    }

    /// [`Handle::from_json`] that uses the record up: nested records are not copied at every level.
    ///
    /// # Errors
    /// When the class is unknown or its configuration does not fit.
    #[track_caller]
    pub fn read(value: Value) -> Result<Handle<T>> {
        // Objects of a record belong to the place in its file or, without one, to the line that reads it.
        at_source(&current_source(), || Handle::read_here(value))
    }

    fn read_here(mut value: Value) -> Result<Handle<T>> {
        match (value, T::absent()) {
            (Value::Null, Some(object)) => return Ok(Handle::new(object)),
            (Value::String(name), _) => return Handle::named(&name),
            (record, _) => value = record,
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
        if let Some(other) = T::other(&value) {
            return other.map(Handle::new);
        }
        // A class that is not Rhyton's own is `package>Name`, whatever its bare name means here.
        let registered = value["registered_name"].as_str().filter(|name| name.contains('>'));
        let row = T::registry().find(registered.unwrap_or(&class))?;
        let config = value.get_mut("config").map_or_else(|| json!({}), Value::take);
        (row.build)(config).map(Handle::new).map_err(|e| e.place(format!("{} {class}", T::WHAT)))
    }

    /// Keras's record of the object.
    pub fn to_json(&self) -> Value {
        let Ok(object) = &self.0 else { return Value::Null };
        object.record().unwrap_or_else(|| record_of::<T>(&**object, object.config()))
    }
}

/// Package of classes that nobody has registered, as in Keras.
const UNREGISTERED: &str = "Custom";

/// Keras's record of an object with this configuration.
pub fn record_of<T: ?Sized + Kind>(object: &T, config: Map<String, Value>) -> Value {
    let row = T::registry().of(object.type_key());
    let class = object.class_name();
    match (object.module(), row.map(|r| r.package)) {
        (Some(module), _) => {
            let mut record = record(module, class, config);
            // What Keras keeps inside goes by a name of its own.
            if module.starts_with("keras.src") {
                record["registered_name"] = class.into();
            }
            record
        }
        (None, Some(None)) => record(T::MODULE, class, config),
        (None, package) => {
            let mut record = record("", class, config);
            let package = package.flatten().unwrap_or(UNREGISTERED);
            record["module"] = Value::Null;
            record["registered_name"] = registered_name(package, class).into();
            record
        }
    }
}

/// Keras's record of an object of a public class.
pub fn record(module: &str, class_name: &str, config: Map<String, Value>) -> Value {
    json!({ "module": module, "class_name": class_name, "config": config, "registered_name": null })
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
