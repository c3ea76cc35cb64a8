//! The limits of one input: time, memory and the stack of a program's main thread.

use rhyton::counting;
use std::panic::PanicHookInfo;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Time on the clock, for an input that waits and does not compute.
const WALL: Duration = Duration::from_secs(60);
/// Bytes that one input may hold at a time.
const MEMORY: usize = 500 << 20;
/// What the main thread of a program usually has.
const STACK: usize = 8 << 20;

/// The input that is being read, counted from 1.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Runs `work` on a thread that is watched from another one. A panic, an input that takes more than `time` of the
/// processor or goes beyond the other limits ends the process with a line on standard error.
pub fn watched<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    std::panic::set_hook(Box::new(last_words));
    let worker = thread::Builder::new().name("reader".into()).stack_size(STACK).spawn(move || {
        let clock = Clock::of_this_thread();
        thread::spawn(move || watch(&clock, time));
        work()
    });
    worker.ok()?.join().ok()
}

/// Begins one input: from here on its time and memory count.
pub fn begin() {
    TURN.fetch_add(1, Relaxed);
    counting::limit(usize::try_from(counting::live_bytes()).unwrap_or(0).saturating_add(MEMORY));
}

/// Ends the limits of the input.
pub fn end() {
    counting::limit(usize::MAX);
}

fn last_words(info: &PanicHookInfo<'_>) {
    counting::limit(usize::MAX);
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().map(String::from);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    eprintln!("panic at {place}: {}", text.replace('\n', " "));
    exit(101);
}

fn watch(clock: &Clock, time: Duration) {
    let mut last = (0, Duration::ZERO, Instant::now());
    loop {
        thread::sleep(Duration::from_millis(50));
        let turn = TURN.load(Relaxed);
        // Before the first input seeds are made, which may take long.
        if turn != last.0 || turn == 0 {
            last = (turn, clock.now(), Instant::now());
        } else if clock.now().saturating_sub(last.1) > time || last.2.elapsed() > WALL {
            eprintln!("slow: more than {time:?}");
            exit(102);
        }
    }
}

/// Processor time of a thread where the system tells it, else the time on the clock: other programs that keep the
/// machine busy are no fault of the input.
enum Clock {
    Thread(std::path::PathBuf),
    Wall(Instant),
}

impl Clock {
    fn of_this_thread() -> Clock {
        let wall = || Clock::Wall(Instant::now());
        std::fs::read_link("/proc/thread-self").map_or_else(
            |_| wall(),
            |link| Clock::Thread(std::path::Path::new("/proc").join(link).join("schedstat")),
        )
    }

    fn now(&self) -> Duration {
        match self {
            Clock::Wall(start) => start.elapsed(),
            Clock::Thread(path) => {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                let on_processor = text.split(' ').next().and_then(|n| n.parse().ok());
                Duration::from_nanos(on_processor.unwrap_or(0))
            }
        }
    }
}
