//! The registries: for each kind of object (layers, losses, ..) one table that turns names and configurations into
//! objects. Rhyton's own are rows of [`registry!`](crate::registry!); a program adds its own with [`register`].

use crate::Handle;
use crate::object::{Object, snake_case};
use rhyton_tensor::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::TypeId;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// A kind of object with its registry: losses, metrics, initializers, ..
pub trait Kind: Object {
    /// For errors and listings: `loss`. The program `rhyton list` takes the last word.
    const WHAT: &'static str;
    /// Keras's module: `keras.losses`.
    const MODULE: &'static str;
    /// Whether names count letter by letter. Where they do not, a class is also known in snake case and in any case.
    const EXACT: bool = false;

    /// The registry of the kind.
    fn registry() -> &'static Registry<Self>;

    /// All rows: Rhyton's own, then those that were registered.
    fn rows() -> Vec<&'static Row<Self>> {
        Self::registry().rows()
    }

    /// Makes an object of the type `O` from its configuration.
    ///
    /// # Errors
    /// When a value of the configuration has the wrong type or makes no sense.
    fn build<O: Object + DeserializeOwned + Into<Handle<Self>>>(config: Value) -> Result<Arc<Self>> {
        O::from_config(config)?.into().into_object()
    }

    /// What `null` stands for, where it stands for an object.
    fn absent() -> Option<Arc<Self>> {
        None
    }

    /// An object of another kind that may stand for one of this kind, from its record.
    fn other(_record: &Value) -> Option<Result<Arc<Self>>> {
        None
    }
}

/// One row of a registry: one class.
pub struct Row<T: ?Sized + 'static> {
    /// Keras's class name.
    pub class_name: &'static str,
    /// Strings that also name it: `mse`, `mean_squared_error`.
    pub names: &'static [&'static str],
    /// The package of a class that is not Rhyton's own: files name it `package>Name`.
    pub package: Option<&'static str>,
    /// One line for listings.
    pub doc: &'static str,
    /// Makes one from a configuration object; missing keys take their defaults.
    pub build: fn(Value) -> Result<Arc<T>>,
    /// Configured objects, at least one. Tests take the configuration, gradient and files of each.
    pub examples: fn() -> Vec<Example<T>>,
    /// The type of its objects.
    pub of: fn() -> TypeId,
}

/// A configured object.
#[derive(Debug)]
pub struct Example<T: ?Sized> {
    /// The object.
    pub object: Handle<T>,
    /// For layers, the sizes of a sample of each input.
    pub inputs: &'static [&'static [usize]],
}

impl<T: ?Sized + Kind> Row<T> {
    /// A row of a class of one's own. Its example has the defaults.
    pub fn of<O>(package: &'static str, doc: &'static str) -> Row<T>
    where
        O: Object + Default + DeserializeOwned + Into<Handle<T>>,
    {
        Row {
            class_name: O::default().class_name(),
            names: &[],
            package: Some(package),
            doc,
            build: T::build::<O>,
            examples: || vec![Example { object: O::default().into(), inputs: &[] }],
            of: TypeId::of::<O>,
        }
    }

    /// The name in files: the class, after the package of a class that is not Rhyton's own.
    pub fn registered_name(&self) -> String {
        self.package.map_or_else(|| self.class_name.into(), |p| registered_name(p, self.class_name))
    }

    /// Whether this is the name of the class, letter by letter.
    fn is_named(&self, name: &str) -> bool {
        self.class_name == name || self.names.contains(&name)
    }

    /// Whether this is the name of the class as people write it.
    fn is_nearly_named(&self, name: &str) -> bool {
        !T::EXACT && (snake_case(self.class_name) == name || self.class_name.eq_ignore_ascii_case(name))
    }
}

/// `package>Name`, as Keras names classes that are not its own.
pub(crate) fn registered_name(package: &str, class: &str) -> String {
    format!("{package}>{class}")
}

/// The rows of a kind. Rows are added, never taken away, so that a name means the same for the whole run of a program.
pub struct Registry<T: ?Sized + 'static>(LazyLock<RwLock<Vec<&'static Row<T>>>>);

impl<T: ?Sized + Kind> Registry<T> {
    /// A registry that starts with these rows.
    pub const fn new(own: fn() -> RwLock<Vec<&'static Row<T>>>) -> Registry<T> {
        Registry(LazyLock::new(own))
    }

    fn rows(&self) -> Vec<&'static Row<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The row of this name: the one of Rhyton's own classes, if there is one; `package>Name` alone names another's.
    pub(crate) fn find(&self, name: &str) -> Result<&'static Row<T>> {
        let rows = self.rows();
        if name.contains('>') {
            let registered = |r: &&&Row<T>| r.package.is_some() && r.registered_name() == name;
            return rows.iter().find(registered).copied().ok_or_else(|| unregistered(T::WHAT, name));
        }
        let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| r.package.is_none());
        let found = [&own, &others].into_iter().find_map(|rows| {
            let nearly = || rows.iter().find(|r| r.is_nearly_named(name));
            rows.iter().find(|r| r.is_named(name)).or_else(nearly).copied()
        });
        found.ok_or_else(|| {
            let all = own.iter().chain(&others);
            unknown(T::WHAT, name, all.flat_map(|r| r.names.iter().copied().chain([r.class_name])))
        })
    }

    /// The row of the objects of a type.
    pub(crate) fn of(&self, ty: TypeId) -> Option<&'static Row<T>> {
        self.rows().into_iter().find(|r| (r.of)() == ty)
    }
}

/// Makes a class of one's own known, so that it can be named by a string and files that hold it can be read: Keras's
/// `register_keras_serializable`. Call it when a program starts, before it names or loads anything.
///
/// ```
/// use rhyton_nn::{Args, Cx, Handle, Layer, LayerRef, Outputs, registry::register};
/// rhyton_nn::layer! {
///     /// Multiplies by a number.
///     pub struct Scale {
///         /// The number.
///         factor: f64 = 2.0,
///     }
/// }
/// impl Layer for Scale {
///     fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
///         (args.x() * self.factor as f32).into()
///     }
/// }
/// register::<dyn Layer, Scale>("my_package", "Multiplies by a number.")?;
/// let record = LayerRef::from(Scale::default().factor(3.0)).to_json();
/// assert_eq!(record["registered_name"], "my_package>Scale");
/// assert_eq!(LayerRef::from_json(&record)?.to_json(), record);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// When the package cannot be part of a name, or another class has this name.
pub fn register<T, O>(package: &'static str, doc: &'static str) -> Result<()>
where
    T: ?Sized + Kind,
    O: Object + Default + DeserializeOwned + Into<Handle<T>>,
{
    add(Row::<T>::of::<O>(package, doc))
}

/// [`register`] for a row written by hand: with further names, or an example of one's own.
///
/// # Errors
/// When the package cannot be part of a name, or another class has this name.
pub fn add<T: ?Sized + Kind>(row: Row<T>) -> Result<()> {
    let package = row.package.unwrap_or_default();
    if package.is_empty() || package.contains(['>', '/']) || package.contains(char::is_control) {
        return Err(Error::new(format!(
            "the {} {} is registered for the package {package:?}",
            T::WHAT,
            row.class_name
        ))
        .expected("a name without '>', '/' and control characters"));
    }
    let mut rows = T::registry().0.write().unwrap_or_else(PoisonError::into_inner);
    let same = rows.iter().find(|r| r.package == row.package && r.class_name == row.class_name);
    match same {
        Some(known) if (known.of)() == (row.of)() => Ok(()),
        Some(_) => Err(Error::new(format!(
            "two types are registered as the {} '{}'",
            T::WHAT,
            row.registered_name()
        ))
        .fix("give one of them another name or package")),
        None => {
            // Rows last as long as the program.
            rows.push(Box::leak(Box::new(row)));
            Ok(())
        }
    }
}

/// The error of a name of a class that was never registered.
fn unregistered(what: &str, name: &str) -> Error {
    let class = name.rsplit('>').next().unwrap_or(name);
    let why = "it is not one of Rhyton's, and this program has not registered it";
    Error::new(format!("there is no {what} '{name}': {why}"))
        .expected("a program that knows its type: a configuration never brings code along")
        .fix(format!("call rhyton::nn::registry::register for the type {class} before the file is read"))
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
        None => error.fix(format!("`rhyton list {}` shows the known ones", word(what))),
    }
}

/// The last word of what a kind is called: `schedule` of `learning rate schedule`.
pub fn word(what: &str) -> &str {
    what.rsplit(' ').next().unwrap_or(what)
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

/// A kind for programs that list all kinds.
pub struct Listing {
    /// What one object is called: `loss`.
    pub what: &'static str,
    /// Keras's module: `keras.losses`.
    pub module: &'static str,
    /// The rows.
    pub rows: fn() -> Vec<ListedRow>,
    /// The record of the object that a name or a record stands for.
    pub read: fn(&Value) -> Result<Value>,
}

/// A row for programs that list all kinds.
pub struct ListedRow {
    /// The class, with its package where it is not Rhyton's own.
    pub name: String,
    /// Further strings that name it.
    pub names: Vec<String>,
    /// One line; empty where the name says it all.
    pub doc: String,
    /// The records of its examples.
    pub examples: Vec<Value>,
}

impl ListedRow {
    /// A row that is nothing but a name.
    pub fn of_name(name: &str) -> ListedRow {
        ListedRow { name: name.into(), names: vec![], doc: String::new(), examples: vec![] }
    }
}

impl Listing {
    /// The listing of a kind.
    pub const fn of<T: ?Sized + Kind>() -> Listing {
        let read = |value: &Value| Ok(Handle::<T>::from_json(value)?.to_json());
        Listing { what: T::WHAT, module: T::MODULE, rows: listed::<T>, read }
    }
}

fn listed<T: ?Sized + Kind>() -> Vec<ListedRow> {
    let of = |row: &'static Row<T>| {
        let mut names: Vec<String> = row.names.iter().map(|n| String::from(*n)).collect();
        let snake = snake_case(row.class_name);
        if !T::EXACT && !names.contains(&snake) {
            names.push(snake);
        }
        let examples = (row.examples)().iter().map(|e| e.object.to_json()).collect();
        ListedRow { name: row.registered_name(), names, doc: row.doc.into(), examples }
    };
    T::rows().into_iter().map(of).collect()
}

/// Defines the registry of a kind. A row is a class, further names of it, one line about it, and examples; without
/// any, the class with its defaults is the example. An example of a layer says the sizes of a sample of each input.
/// A function in parentheses makes the object where [`Kind::build`] does not; items in braces replace those of
/// [`Kind`].
///
/// ```text
/// registry! {
///     dyn Loss, "loss" in "keras.losses";
///     MeanSquaredError ["mse", "MSE"] "mean of (t - p)^2";
///     Huber "squares near 0, absolute values further out": Huber::new().delta(0.3);
/// }
/// registry! {
///     dyn Layer, "layer" in "keras.layers";
///     Add "The sum of its inputs.": Add::new() => [4, 3] [4, 3];
/// }
/// ```
///
/// Crates above `nn` write `local dyn Kind`: their rows also turn into handles, which nobody else could say for them,
/// and no further crate submits rows.
#[macro_export]
macro_rules! registry {
    (dyn $kind:ident, $($rest:tt)*) => {
        $crate::__private::inventory::collect!($crate::Row<dyn $kind>);
        $crate::registry!(@kind [$crate::__private::inventory::iter::<$crate::Row<dyn $kind>>] dyn $kind, $($rest)*);
    };
    (local dyn $kind:ident, $($rest:tt)*) => {
        $crate::registry!(@into dyn $kind, $($rest)*);
        $crate::registry!(@kind [[]] dyn $kind, $($rest)*);
    };
    (@into dyn $kind:ident, $what:literal in $module:literal $({ $($items:item)* })?;
        $($class:ident $([$($name:literal),*])? $(($build:path))? $doc:literal
            $(: $($example:expr $(=> $([$($size:literal),*])+)?),+)?;)*
    ) => {
        $(impl From<$class> for $crate::Handle<dyn $kind> {
            fn from(object: $class) -> Self {
                $crate::Handle::new(::std::sync::Arc::new(object))
            }
        })*
    };
    (@kind [$submitted:expr]
        dyn $kind:ident, $what:literal in $module:literal $({ $($items:item)* })?;
        $($class:ident $([$($name:literal),*])? $(($build:path))? $doc:literal
            $(: $($example:expr $(=> $([$($size:literal),*])+)?),+)?;)*
    ) => {
        impl $crate::Kind for dyn $kind {
            const WHAT: &'static str = $what;
            const MODULE: &'static str = $module;
            fn registry() -> &'static $crate::registry::Registry<Self> {
                static ROWS: &[$crate::Row<dyn $kind>] = &[$($crate::Row {
                    class_name: stringify!($class),
                    names: &[$($($name),*)?],
                    package: None,
                    doc: $doc,
                    build: $crate::registry!(@build $kind $class $($build)?),
                    examples: || $crate::registry!(
                        @examples $class $($($example $(=> $([$($size),*])+)?),+)?
                    ),
                    of: ::std::any::TypeId::of::<$class>,
                }),*];
                static REGISTRY: $crate::registry::Registry<dyn $kind> = $crate::registry::Registry::new(|| {
                    // Crates above this one submit rows of their own, in whatever order the linker puts them.
                    let mut submitted: Vec<&'static $crate::Row<dyn $kind>> = $submitted.into_iter().collect();
                    submitted.sort_by_key(|row| row.class_name);
                    ROWS.iter().chain(submitted).collect::<Vec<_>>().into()
                });
                &REGISTRY
            }
            $($($items)*)?
        }
    };
    (@build $kind:ident $class:ident) => { <dyn $kind as $crate::Kind>::build::<$class> };
    (@build $kind:ident $class:ident $build:path) => { $build };
    (@examples $class:ident) => {
        vec![$crate::registry::Example { object: <$class>::default().into(), inputs: &[] }]
    };
    (@examples $class:ident $($example:expr $(=> $([$($size:literal),*])+)?),+) => {
        vec![$($crate::registry::Example {
            object: ($example).into(),
            inputs: &[$($(&[$($size),*]),+)?],
        }),+]
    };
}
