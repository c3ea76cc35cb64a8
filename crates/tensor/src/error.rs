//! The one error type of the project: a list of problems, each in the user's words.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Result with Rhyton's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Where something was written that a user can change.
///
/// ```
/// use rhyton_tensor::{Error, Source};
/// let config = Source::File { path: "m.keras".into(), place: "config.json".into() };
/// assert_eq!(config.inside("layers[3]").to_string(), "m.keras: config.json, layers[3]");
/// assert_eq!(Source::Caller("train.py:12".into()).to_string(), "train.py:12");
/// // Under the name of the file, its places go without it.
/// let e = Error::new("there is no layer 'Densee'").place("m.keras / dense").source(&config.inside("layers[3]"));
/// assert!(e.to_string().ends_with("in:       m.keras / dense\n  at:       config.json, layers[3]"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A line of a Rust program.
    Line(&'static Location<'static>),
    /// A place in a file: `config.json, layers[3]` of `model.keras`.
    File {
        /// The file.
        path: Arc<str>,
        /// The place inside it.
        place: Arc<str>,
    },
    /// A place in the words of whoever calls the library: a line of another language, a request.
    Caller(Arc<str>),
}

impl Source {
    /// The caller's line.
    #[track_caller]
    pub fn here() -> Source {
        Source::Line(Location::caller())
    }

    /// The line of a Rust program, where it is one.
    pub fn line(&self) -> Option<&'static Location<'static>> {
        match self {
            Source::Line(line) => Some(line),
            _ => None,
        }
    }

    /// A place inside this one: `layers[3]` of a file's `config.json`. Lines and callers have no parts.
    pub fn inside(&self, part: &str) -> Source {
        match self {
            Source::File { path, place } => {
                let gap = if place.ends_with(".json") { ", " } else { "." };
                Source::File { path: path.clone(), place: format!("{place}{gap}{part}").into() }
            }
            other => other.clone(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Line(line) => line.fmt(f),
            Source::File { path, place } => write!(f, "{path}: {place}"),
            Source::Caller(place) => f.write_str(place),
        }
    }
}

/// One thing that is wrong: what, where, what was expected and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// What is wrong, one sentence without a full stop.
    pub what: String,
    /// Layer path, file name or argument it concerns.
    pub place: Option<String>,
    /// Where the user wrote it: a line of the program, or a place in a file.
    pub source: Option<Source>,
    /// What would have been right.
    pub expected: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
}

/// One or more [`Problem`]s.
///
/// ```
/// use rhyton_tensor::Error;
/// let e = Error::new("the data set is empty").place("train").fix("pass at least one sample");
/// assert_eq!(e.to_string(), "the data set is empty\n  in:       train\n  fix:      pass at least one sample");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Error {
    /// What went wrong, most important first; never empty.
    pub problems: Vec<Problem>,
}

impl Error {
    /// An error with a single problem.
    pub fn new(what: impl Into<String>) -> Error {
        Error {
            problems: vec![Problem {
                what: what.into(),
                place: None,
                source: None,
                expected: None,
                fix: None,
            }],
        }
    }

    /// All of `problems` as one error; `None` when there are none.
    pub fn from_problems(problems: Vec<Problem>) -> Option<Error> {
        (!problems.is_empty()).then_some(Error { problems })
    }

    fn each(mut self, set: impl Fn(&mut Problem)) -> Error {
        self.problems.iter_mut().for_each(set);
        self
    }

    /// Says which layer, file or argument this concerns, where it is not said yet.
    pub fn place(self, place: impl Into<String>) -> Error {
        let place = place.into();
        self.each(|p| {
            p.place.get_or_insert_with(|| place.clone());
        })
    }

    /// Says where the user wrote what this concerns, where it is not said yet.
    pub fn source(self, source: &Source) -> Error {
        self.each(|p| {
            p.source.get_or_insert_with(|| source.clone());
        })
    }

    /// Says the caller's source line.
    #[track_caller]
    pub fn here(self) -> Error {
        self.source(&Source::here())
    }

    /// Says what would have been right.
    pub fn expected(self, expected: impl Into<String>) -> Error {
        let expected = expected.into();
        self.each(|p| {
            p.expected.get_or_insert_with(|| expected.clone());
        })
    }

    /// Says what to do.
    pub fn fix(self, fix: impl Into<String>) -> Error {
        let fix = fix.into();
        self.each(|p| {
            p.fix.get_or_insert_with(|| fix.clone());
        })
    }

    /// An input or output error with the path it happened on.
    pub fn io(doing: &str, path: &std::path::Path, e: &std::io::Error) -> Error {
        let error = crate::memory::reading(e).unwrap_or_else(|| Error::new(format!("cannot {doing}: {e}")));
        error.place(path.display().to_string())
    }
}

/// Characters of a part of a problem, and problems of an error, that are shown: what is wrong may quote a file, and
/// a file may be wrong in a thousand places.
const SHOWN_CHARACTERS: usize = 4000;
const SHOWN_PROBLEMS: usize = 50;

/// The start of a long text.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((at, _)) => format!("{} .. ({} bytes)", &text[..at], text.len()).into(),
        None => text.into(),
    }
}

impl Problem {
    /// A place in a file goes without the file where the line above names it.
    fn shown(&self, source: &Source) -> String {
        let above = self.place.as_deref().unwrap_or_default();
        match source {
            Source::File { path, place } if above.starts_with(&**path) => place.to_string(),
            source => source.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cut(&self.what))?;
        let source = self.source.as_ref().map(|s| self.shown(s));
        let rows =
            [("in:", &self.place), ("at:", &source), ("expected:", &self.expected), ("fix:", &self.fix)];
        for (label, text) in rows {
            if let Some(text) = text {
                write!(f, "\n  {label:<9} {}", cut(text))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.problems.iter().take(SHOWN_PROBLEMS).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{p}")?;
        }
        match self.problems.len().checked_sub(SHOWN_PROBLEMS) {
            Some(more) if more > 0 => write!(f, "\nand {more} more problems"),
            _ => Ok(()),
        }
    }
}

/// `unwrap()` in an example or a test prints the same text a user would read.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Error {}
