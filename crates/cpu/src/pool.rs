//! Threads that split a kernel in well under a microsecond: they spin for the next job a while before they sleep.

use crate::denormals::as_zero;
use crate::environment::{self, MOST_THREADS};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// Checks of the gate before a worker sleeps: some hundred microseconds, longer than the host's work between two
/// launches of a step and too short to heat an idle machine.
const SPINS: u32 = 20_000;

/// A fixed set of threads that runs the tasks of one job at a time.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Threads: those of the whole program, or some of its own.
#[derive(Clone)]
pub(crate) enum Threads {
    /// [`Pool::global`].
    Global,
    /// Given.
    Own(Arc<Pool>),
}

impl Threads {
    pub(crate) fn pool(&self) -> &Pool {
        match self {
            Threads::Global => Pool::global(),
            Threads::Own(pool) => pool,
        }
    }
}

type Task<'a> = &'a (dyn Fn(usize, usize) + Sync);

#[derive(Clone, Copy)]
struct Job {
    task: Task<'static>,
}

/// The gate: bit 0 says that a job is open, bits 1..16 count the workers inside, the others number the job.
/// A worker may touch the job only while it is counted, and it is counted only if the gate was open; so the
/// caller, having closed the gate, waits for those inside and for nobody who still sleeps.
struct Shared {
    gate: AtomicU64,
    /// The tasks that are left, by the thread whose turn they are.
    shares: Box<[Share]>,
    job: UnsafeCell<Option<Job>>,
    /// Held by the caller whose job runs.
    busy: AtomicBool,
    /// Threads that walk a program, see [`Pool::called`].
    callers: AtomicUsize,
    stop: AtomicBool,
    started: AtomicUsize,
    asleep: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Neighbouring tasks that one thread begins with, from the first one on; who has done its own takes from the end of
/// another's. So a thread comes back to the rows that it worked on one launch earlier, which its cache still holds.
/// The first task is in the upper half, the end in the lower one; on a cache line of its own, and on the next one,
/// which the machine fetches along.
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    const FIRST: u64 = 1 << 32;

    fn fill(&self, first: usize, end: usize) {
        self.0.store((first as u64 * Share::FIRST) | end as u64, Ordering::Relaxed);
    }

    /// Takes one task off: the first or the last one.
    fn take(&self, last: bool) -> Option<usize> {
        let halves = |share: u64| (share / Share::FIRST, share % Share::FIRST);
        let less = |share: u64| {
            let (first, end) = halves(share);
            (first < end).then(|| if last { share - 1 } else { share + Share::FIRST })
        };
        let (first, end) = halves(self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?);
        Some(if last { end - 1 } else { first } as usize)
    }
}

// SAFETY: `job` is written only by the holder of `busy` while the gate is closed and nobody is inside, and read
// only by workers counted in the gate.
unsafe impl Sync for Shared {}
// SAFETY: as above; everything else is `Send`.
unsafe impl Send for Shared {}

const OPEN: u64 = 1;
const INSIDE: u64 = 2;
const NUMBER: u64 = 1 << 16;

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of `threads` threads, the caller among them. Threads that the system refuses are done without.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, MOST_THREADS);
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            shares: (0..threads).map(|_| Share(AtomicU64::new(0))).collect(),
            job: UnsafeCell::new(None),
            busy: AtomicBool::new(false),
            callers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let spawn = |worker: usize| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("rhyton-{worker}"))
                .spawn(move || as_zero(|| shared.work(worker)))
                .ok()
        };
        let workers: Vec<_> = (1..threads).map_while(spawn).collect();
        // A thread allocates while it starts; later, nothing does.
        while shared.started.load(Ordering::Acquire) < workers.len() {
            std::thread::yield_now();
        }
        Pool { shared, workers }
    }

    /// The pool of the program: `RHYTON_THREADS` threads, or one per core. (A variable that holds something else is
    /// an error of [`crate::CpuBackend::new`].)
    pub fn global() -> &'static Pool {
        static GLOBAL: OnceLock<Pool> = OnceLock::new();
        GLOBAL.get_or_init(|| {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            Pool::new(environment::threads().ok().flatten().unwrap_or_else(cores))
        })
    }

    /// Number of threads, the caller among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Number of jobs that were split so far.
    pub(crate) fn splits(&self) -> u64 {
        self.shared.gate.load(Ordering::Relaxed) / NUMBER
    }

    /// Calls `f(i)` once for each `i` in `0..tasks` on all threads and returns when all are done. Inside a task,
    /// and while another caller's job runs, the tasks run on the calling thread, in order. A panic in a task is
    /// passed on to the caller, after the other threads have stopped.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        self.run_on(tasks, &|_, i| f(i));
    }

    /// Walks a program. While as many callers do so as there are threads, or nearly, each keeps to its own thread: a
    /// split would wait for a worker that waits for a core.
    pub(crate) fn called<R>(&self, walk: impl FnOnce() -> R) -> R {
        let _counted = (!self.workers.is_empty()).then(|| Counted::new(&self.shared.callers));
        walk()
    }

    fn is_full(&self) -> bool {
        let callers = self.shared.callers.load(Ordering::Relaxed);
        callers > 1 && 2 * callers > self.threads()
    }

    /// As [`Pool::run`], calling `f(worker, i)`: no two tasks that run at the same time have the same worker,
    /// a number below [`Pool::threads`], so it can choose a piece of scratch memory.
    pub(crate) fn run_on(&self, tasks: usize, f: Task) {
        let alone = tasks <= 1 || self.workers.is_empty() || IN_TASK.get() || u32::try_from(tasks).is_err();
        if alone || self.is_full() || self.shared.busy.swap(true, Ordering::Acquire) {
            (0..tasks).for_each(|i| f(0, i));
            return;
        }
        let panic = self.shared.run(tasks, f);
        self.shared.busy.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl Pool {
    /// [`Pool::run_on`] if the work is worth a split, else all on the calling thread.
    pub(crate) fn run_if(&self, worth: bool, tasks: usize, f: Task) {
        if worth { self.run_on(tasks, f) } else { (0..tasks).for_each(|i| f(0, i)) }
    }
}

/// One more for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn new(count: &AtomicUsize) -> Counted<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.lock));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of a task, so there is none to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn run(&self, tasks: usize, f: Task) -> Option<Box<dyn Any + Send>> {
        // SAFETY: only the lifetime changes; nobody uses the job after this function has returned, see `gate`.
        let task = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(f) };
        let job = Job { task };
        // SAFETY: this caller holds `busy`, the gate is closed and nobody is inside.
        unsafe { *self.job.get() = Some(job) };
        let cut = |i: usize| (i * tasks).div_ceil(self.shares.len());
        self.shares.iter().enumerate().for_each(|(i, share)| share.fill(cut(i), cut(i + 1)));
        let number = (self.gate.load(Ordering::Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        self.gate.store(number | OPEN, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.lock));
            self.wake.notify_all();
        }
        self.take_tasks(0, job);
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.gate.load(Ordering::Acquire) & (NUMBER - 1) != 0 {
            spins += 1;
            if spins.is_multiple_of(SPINS) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        lock(&self.panic).take()
    }

    /// The next task for a thread.
    fn next(&self, worker: usize) -> Option<usize> {
        let (before, own) = self.shares.split_at(worker);
        let mut others = own[1..].iter().chain(before);
        own[0].take(false).or_else(|| others.find_map(|share| share.take(true)))
    }

    fn take_tasks(&self, worker: usize, job: Job) {
        IN_TASK.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| {
            while let Some(i) = self.next(worker) {
                (job.task)(worker, i);
            }
        }));
        IN_TASK.set(false);
        if let Err(payload) = result {
            self.shares.iter().for_each(|share| share.fill(0, 0));
            lock(&self.panic).get_or_insert(payload);
        }
    }

    fn work(&self, worker: usize) {
        self.started.fetch_add(1, Ordering::Release);
        let mut done = 0;
        while let Some(gate) = self.wait(done) {
            done = gate & !(NUMBER - 1);
            let entered =
                self.gate.compare_exchange(gate, gate + INSIDE, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() && !self.enter(done) {
                continue;
            }
            // SAFETY: the gate counts this worker, so the caller keeps the job alive and unchanged.
            if let Some(job) = unsafe { *self.job.get() } {
                self.take_tasks(worker, job);
            }
            self.gate.fetch_sub(INSIDE, Ordering::AcqRel);
        }
    }

    /// Joins job `number` if it is still open.
    fn enter(&self, number: u64) -> bool {
        let join = |gate: u64| (gate & OPEN != 0 && gate & !(NUMBER - 1) == number).then_some(gate + INSIDE);
        self.gate.fetch_update(Ordering::AcqRel, Ordering::Relaxed, join).is_ok()
    }

    /// The gate of an open job other than `done`; `None` when the pool ends.
    fn wait(&self, done: u64) -> Option<u64> {
        let ready = || {
            let gate = self.gate.load(Ordering::SeqCst);
            (gate & OPEN != 0 && gate & !(NUMBER - 1) != done).then_some(gate)
        };
        for _ in 0..SPINS {
            if let Some(gate) = ready() {
                return Some(gate);
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.lock);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let found = loop {
            if self.stop.load(Ordering::SeqCst) {
                break None;
            }
            if let Some(gate) = ready() {
                break Some(gate);
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 7, 100] {
                for _ in 0..200 {
                    let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                    pool.run(tasks, &|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn shares_are_taken_from_both_ends() {
        let share = Share(AtomicU64::new(0));
        assert_eq!(share.take(false), None);
        share.fill(3, 7);
        let taken = [false, true, false, true, false].map(|last| share.take(last));
        assert_eq!(taken, [Some(3), Some(6), Some(4), Some(5), None]);
    }

    #[test]
    fn sleeping_workers_wake_up() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(30));
            let workers = AtomicU32::new(0);
            // Each task waits for the other one, so both threads must come.
            pool.run_on(2, &|worker, _| {
                workers.fetch_or(1 << worker, Ordering::SeqCst);
                while workers.load(Ordering::SeqCst) != 3 {
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn nested_and_concurrent_calls_run() {
        let pool = Pool::new(3);
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    pool.run(5, &|_| {
                        pool.run(4, &|_| {
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 80);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        for bad in 0..4 {
            let run = || pool.run(4, &|i| assert_ne!(i, bad, "task {i}"));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let count = AtomicU32::new(0);
        pool.run(9, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 9);
    }
}
