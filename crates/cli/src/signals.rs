//! Ctrl-C (SIGINT) and SIGTERM. Training ends after the step that runs, so that nothing of it is lost; a second signal
//! ends the program at once, as the first one does where there is nothing to lose.
//!
//! The exit status is 128 plus the number of the signal, as shells have it: 130 and 143.

use rhyton::Result;
use rhyton::train::Training;
use rhyton::train::callbacks::Callback;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The first signal that came; 0 before that.
static CAME: AtomicI32 = AtomicI32::new(0);
/// Whether somebody looks at it from time to time.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Starts to listen.
#[cfg(unix)]
pub fn listen() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let first = CAME.swap(signal, Ordering::SeqCst) == 0;
            if first && WATCHED.load(Ordering::SeqCst) {
                crate::output::complain("\nending after this step; once more ends at once");
            } else {
                rhyton::io::files::remove_unfinished();
                signal_hook::low_level::exit(128 + signal);
            }
        }
    });
}

/// Elsewhere the system ends the program, and files are whole or not there.
#[cfg(not(unix))]
pub fn listen() {}

/// The exit status of a command that failed.
pub fn failure() -> u8 {
    match CAME.load(Ordering::SeqCst) {
        0 => 1,
        signal => 128 + signal as u8,
    }
}

/// Whether a signal came that the command was to heed.
pub fn came() -> bool {
    CAME.load(Ordering::SeqCst) != 0
}

/// Interrupts training when a signal came.
pub struct Watch {
    /// Whether training has begun.
    pub began: bool,
}

impl Watch {
    /// From now on signals wait for the end of a step.
    pub fn begin() -> Watch {
        WATCHED.store(true, Ordering::SeqCst);
        Watch { began: false }
    }
}

impl Callback for Watch {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        self.began = true;
        Ok(())
    }
    fn on_train_batch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        heed(cx)
    }
    fn on_test_batch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        heed(cx)
    }
    fn on_epoch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        heed(cx)
    }
}

fn heed(cx: &mut Training<'_>) -> Result<()> {
    if came() {
        cx.interrupt();
    }
    Ok(())
}
