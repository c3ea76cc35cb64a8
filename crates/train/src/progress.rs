//! Progress as Keras users know it: a live line on a terminal, plain lines elsewhere.

use super::Logs;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How much `fit`, `evaluate` and `predict` say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verbose {
    /// [`Bar`](Verbose::Bar) on a terminal, [`Lines`](Verbose::Lines) elsewhere.
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// A line that is drawn again as steps are done. Where there is no terminal to draw on: [`Lines`](Verbose::Lines).
    Bar,
    /// One line an epoch.
    Lines,
}

impl From<u8> for Verbose {
    /// Keras's numbers: 0 is silent, 1 a bar, 2 lines.
    fn from(level: u8) -> Verbose {
        match level {
            0 => Verbose::Silent,
            1 => Verbose::Bar,
            _ => Verbose::Lines,
        }
    }
}

/// Time between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(50);
/// Characters of the bar.
const WIDTH: usize = 20;

/// Where progress and messages of callbacks go.
pub(crate) struct Console<'a> {
    sink: Option<Box<dyn Write + 'a>>,
    mode: Verbose,
    colors: bool,
    bar: Option<ProgressBar>,
    /// Whether warnings are written.
    pub(crate) warns: bool,
}

/// What standard output can show: whether lines can be drawn again, and whether in colours.
///
/// `TERM=dumb` says that a terminal knows no codes; `NO_COLOR` that its user wants none for colours
/// (<https://no-color.org>).
fn abilities(terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> (bool, bool) {
    let draws = terminal && term.is_none_or(|t| t != "dumb");
    (draws, draws && no_color.is_none_or(OsStr::is_empty))
}

impl<'a> Console<'a> {
    /// On standard output, or to `sink`.
    pub(crate) fn new(verbose: Verbose, sink: Option<Box<dyn Write + 'a>>) -> Console<'a> {
        let terminal = sink.is_none() && std::io::stdout().is_terminal();
        let (term, no_color) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let (draws, colors) = abilities(terminal, term.as_deref(), no_color.as_deref());
        let mode = match verbose {
            Verbose::Auto | Verbose::Bar if draws => Verbose::Bar,
            Verbose::Auto | Verbose::Bar => Verbose::Lines,
            other => other,
        };
        Console { sink, mode, colors, bar: None, warns: true }
    }

    /// Writes a line above the bar. A reader that went away is no reason to stop training.
    pub(crate) fn print(&mut self, line: &str) {
        self.write(line, false);
    }

    /// Writes a warning: to standard error, where no sink was given.
    pub(crate) fn warn(&mut self, warning: &str) {
        if self.warns {
            self.write(&format!("warning: {warning}"), true);
        }
    }

    fn write(&mut self, line: &str, is_warning: bool) {
        let Console { sink, bar, .. } = self;
        let mut write = || {
            let _ = match sink {
                Some(s) => writeln!(s, "{line}"),
                None if is_warning => writeln!(std::io::stderr().lock(), "{line}"),
                None => writeln!(std::io::stdout().lock(), "{line}"),
            };
        };
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Whether nothing is to be said.
    pub(crate) fn is_silent(&self) -> bool {
        self.mode == Verbose::Silent
    }
}

/// The progress of one epoch, evaluation or prediction.
pub(crate) struct Progress {
    target: Option<usize>,
    colors: bool,
    started: Instant,
    after_first: Option<Instant>,
    next_draw: Instant,
}

impl Progress {
    /// Starts the clock. `target` is the number of steps, where known.
    pub(crate) fn begin(target: Option<usize>, console: &mut Console<'_>) -> Progress {
        if console.mode == Verbose::Bar {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            console.bar = Some(bar);
        }
        let now = Instant::now();
        Progress { target, colors: console.colors, started: now, after_first: None, next_draw: now }
    }

    /// After step number `done`, from 1: draws when it is time. `logs` are computed only then.
    pub(crate) fn step(&mut self, done: usize, console: &Console<'_>, logs: impl FnOnce() -> Logs) {
        if done == 1 {
            self.after_first = Some(Instant::now());
        }
        let Some(bar) = &console.bar else { return };
        let now = Instant::now();
        if now >= self.next_draw {
            self.next_draw = now + REDRAW;
            bar.set_message(self.bar_line(done, now, false, &logs().sorted()));
        }
    }

    /// Replaces the bar by its last state, or writes the line of the epoch.
    pub(crate) fn finish(&mut self, done: usize, console: &mut Console<'_>, logs: &Logs) {
        self.target = Some(done);
        let now = Instant::now();
        if let Some(bar) = console.bar.take() {
            bar.finish_and_clear();
        }
        match console.mode {
            Verbose::Bar => console.print(&self.bar_line(done, now, true, logs)),
            Verbose::Lines => {
                let (elapsed, each) = (now - self.started, self.step_time(done, now));
                console.print(&epoch_line(done, elapsed, each, logs));
            }
            _ => {}
        }
    }

    /// Time of a step, without the first one, which compiles.
    fn step_time(&self, done: usize, now: Instant) -> Duration {
        match self.after_first {
            Some(first) if done > 1 => (now - first) / (done - 1) as u32,
            _ => (now - self.started) / done.max(1) as u32,
        }
    }

    fn bar_line(&self, done: usize, now: Instant, last: bool, logs: &Logs) -> String {
        let each = self.step_time(done, now);
        let left = self.target.map(|t| each * t.saturating_sub(done) as u32);
        let time = match left {
            Some(left) if !last => countdown(left.as_secs()),
            _ => format!("{:.0}s", (now - self.started).as_secs_f64()),
        };
        bar_line(done, self.target, &time, each, logs, self.colors)
    }
}

/// `3/3 ━━━━━━━━━━━━━━━━━━━━ 0s 1ms/step - accuracy: 0.5500 - loss: 0.6670`, with the colours of Keras, or without:
/// then what is left of the bar is drawn thin.
fn bar_line(
    done: usize,
    target: Option<usize>,
    time: &str,
    each: Duration,
    logs: &Logs,
    colors: bool,
) -> String {
    let paint = |code: u8, s: &str| if colors { format!("\x1b[{code}m{s}\x1b[0m") } else { s.into() };
    let (bold, green, white) = (|s: &str| paint(1, s), |s: &str| paint(32, s), |s: &str| paint(37, s));
    let count = match target {
        Some(t) => {
            let filled = (WIDTH * done / t.max(1)).min(WIDTH);
            let rest = if colors { "━" } else { "─" }.repeat(WIDTH - filled);
            format!("{} {}{}", bold(&counted(done, t)), green(&"━".repeat(filled)), white(&rest))
        }
        None => bold(&format!("{done:>7}/Unknown")),
    };
    let mut line = format!("{count} {} {}", bold(time), step_time(each));
    for (name, value) in logs.iter() {
        let _ = write!(line, " - {name}: {}", figure(value));
    }
    line
}

/// `3/3 - 2s - 588ms/step - accuracy: 0.5375 - loss: 0.6691`.
fn epoch_line(done: usize, elapsed: Duration, each: Duration, logs: &Logs) -> String {
    let mut line = format!("{} - {:.0}s - {}", counted(done, done), elapsed.as_secs_f64(), step_time(each));
    for (name, value) in logs.iter() {
        // Keras forgets the absolute value here.
        let value = if value > 1e-3 { format!("{value:.4}") } else { scientific(value) };
        let _ = write!(line, " - {name}: {value}");
    }
    line
}

fn counted(done: usize, target: usize) -> String {
    let digits = target.max(1).ilog10() as usize + 1;
    format!("{done:>digits$}/{target}")
}

fn countdown(seconds: u64) -> String {
    match seconds {
        s if s > 3600 => format!("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60),
        s if s > 60 => format!("{}:{:02}", s / 60, s % 60),
        s => format!("{s}s"),
    }
}

fn step_time(each: Duration) -> String {
    let s = each.as_secs_f64();
    match s {
        s if s >= 1.0 || s == 0.0 => format!("{s:.0}s/step"),
        s if s >= 1e-3 => format!("{:.0}ms/step", s * 1e3),
        s => format!("{:.0}us/step", s * 1e6),
    }
}

/// A figure as Keras's bar shows it: four decimals, small numbers with an exponent.
pub(crate) fn figure(value: f64) -> String {
    if value.abs() > 1e-3 { format!("{value:.4}") } else { scientific(value) }
}

/// C's `%.4e`.
fn scientific(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let text = format!("{value:.4e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_keras() {
        let logs = Logs::from_iter([("accuracy", 0.5375), ("loss", 0.66914)]);
        let ms = Duration::from_millis;
        let plain = |s: String| {
            ["\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[37m"].iter().fold(s, |s, code| s.replace(code, ""))
        };
        assert_eq!(
            epoch_line(3, ms(1760), ms(588), &logs),
            "3/3 - 2s - 588ms/step - accuracy: 0.5375 - loss: 0.6691"
        );
        assert_eq!(
            bar_line(2, Some(3), "0s", ms(403), &logs, true),
            "\x1b[1m2/3\x1b[0m \x1b[32m━━━━━━━━━━━━━\x1b[0m\x1b[37m━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m 403ms/step \
             - accuracy: 0.5375 - loss: 0.6691"
        );
        assert_eq!(
            plain(bar_line(1, None, "1s", ms(711), &logs, true)),
            "      1/Unknown 1s 711ms/step - accuracy: 0.5375 - loss: 0.6691"
        );
        assert_eq!(counted(7, 120), "  7/120");
    }

    #[test]
    fn terminals_get_what_they_can_show_and_users_want() {
        let at = |terminal, term: &str, no_color: Option<&str>| {
            abilities(terminal, Some(term.as_ref()), no_color.map(str::as_ref))
        };
        assert_eq!(at(true, "xterm", None), (true, true));
        assert_eq!(at(true, "xterm", Some("1")), (true, false));
        assert_eq!(at(true, "xterm", Some("")), (true, true));
        assert_eq!(at(true, "dumb", None), (false, false));
        assert_eq!(at(false, "xterm", None), (false, false));
        let logs = Logs::from_iter([("loss", 0.5)]);
        let line = bar_line(2, Some(4), "0s", Duration::from_millis(403), &logs, false);
        assert_eq!(line, "2/4 ━━━━━━━━━━────────── 0s 403ms/step - loss: 0.5000");
    }

    #[test]
    fn numbers_and_times_look_like_keras() {
        assert_eq!(figure(5e-4), "5.0000e-04");
        assert_eq!(figure(-0.25), "-0.2500");
        assert_eq!(figure(0.0), "0.0000e+00");
        assert_eq!(figure(f64::NAN), "nan");
        assert_eq!(step_time(Duration::from_micros(829)), "829us/step");
        assert_eq!(step_time(Duration::from_secs(3)), "3s/step");
        assert_eq!(countdown(59), "59s");
        assert_eq!(countdown(61), "1:01");
        assert_eq!(countdown(3725), "1:02:05");
        let negative = Logs::from_iter([("loss", -2.5)]);
        assert!(epoch_line(1, Duration::ZERO, Duration::ZERO, &negative).ends_with("loss: -2.5000e+00"));
    }
}
