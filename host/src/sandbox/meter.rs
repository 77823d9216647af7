//! What one run uses: CPU time, wall time, memory; and the turns that long-computing guests take.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

use super::engine::TICK;

/// The measure of one run, shared by the future that polls it, the epoch callback inside it, and the budget.
pub(super) struct Meter {
    /// Names the run within this process.
    pub(super) number: u64,
    cpu_limit: Duration,
    deadline: Instant,
    /// Nanoseconds billed so far: polls that have ended, and the present one up to its last tick.
    cpu: AtomicU64,
    /// When the present poll began, in nanoseconds since `start`.
    poll_began: AtomicU64,
    /// The thread's CPU clock at the last tick of the present poll; 0 before its first.
    ticked: AtomicU64,
    start: Instant,
    evicted: AtomicBool,
    evict: Notify,
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Why the host stops a guest. Travels through wasmtime as the error of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("ran longer than its time limit")]
    Timeout,
    #[error("computed longer than its CPU limit")]
    Cpu,
    #[error("the process's memory budget is used up")]
    Memory,
}

impl Meter {
    pub(super) fn new(cpu_limit: Duration, start: Instant, deadline: Instant) -> Arc<Meter> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Arc::new(Meter {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            cpu_limit,
            deadline,
            cpu: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            ticked: AtomicU64::new(0),
            start,
            evicted: AtomicBool::new(false),
            evict: Notify::new(),
            turn: Mutex::new(None),
        })
    }

    #[cfg(test)]
    pub(super) fn for_test(number: u64) -> Arc<Meter> {
        let meter = Meter::new(Duration::MAX, Instant::now(), Instant::now());
        Arc::new(Meter { number, ..Arc::into_inner(meter).expect("just made") })
    }

    /// CPU time so far, the poll in progress counted up to its last tick.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Makes the run end to free its memory.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::SeqCst);
        self.evict.notify_one();
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::SeqCst)
    }

    /// Waits until the run is evicted.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// Called by the guest's thread at each tick of the epoch: stops a guest that is over a limit, and makes one that
    /// computes for longer than a tick take turns with the others of its kind, so that short runs always find a
    /// thread. (`turns` has a permit less than there are threads.)
    pub(super) fn tick(self: &Arc<Self>, turns: &Arc<Semaphore>) -> Result<UpdateDeadline, Stopped> {
        if self.is_evicted() {
            return Err(Stopped::Memory);
        }
        if Instant::now() >= self.deadline {
            return Err(Stopped::Timeout);
        }
        // Ticks don't say how long this guest ran: a run of 3 ms sees none or one.
        self.bill(Some(thread_cpu()));
        let cpu = self.cpu();
        if cpu >= self.cpu_limit {
            return Err(Stopped::Cpu);
        }
        if cpu < TICK {
            return Ok(UpdateDeadline::Continue(1));
        }
        let (meter, turns) = (self.clone(), turns.clone());
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                // Behind whoever waits for a turn, and always once out of the poll: a stop, a deadline or another task
                // of this thread would go unseen as long as a turn is free.
                meter.give_up_turn();
                tokio::task::yield_now().await;
                let turn = turns.acquire_owned().await.ok();
                *meter.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
            }),
        ))
    }

    fn begin_poll(&self) {
        self.poll_began.store(self.now(), Ordering::Relaxed);
        self.ticked.store(0, Ordering::Relaxed);
    }

    fn end_poll(&self) {
        let had_tick = self.ticked.load(Ordering::Relaxed) > 0;
        self.bill(had_tick.then(thread_cpu));
    }

    /// Adds what the present poll has used since its beginning or its last tick. The thread's CPU clock is a system
    /// call that costs more than many a run, so it is read from a poll's first tick on; up to there the wall clock
    /// stands for it, a tick at most: a guest that computed for longer would have seen one.
    fn bill(&self, thread_cpu: Option<u64>) {
        let ticked = self.ticked.load(Ordering::Relaxed);
        let used = match thread_cpu {
            Some(now) if ticked > 0 => now.saturating_sub(ticked),
            _ => {
                let wall = self.now().saturating_sub(self.poll_began.load(Ordering::Relaxed));
                wall.min(TICK.as_nanos() as u64)
            }
        };
        self.ticked.store(thread_cpu.unwrap_or(0), Ordering::Relaxed);
        self.cpu.fetch_add(used, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn give_up_turn(&self) {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Nanoseconds of CPU time of this thread.
fn thread_cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A guest's call under its meter: what its polls cost is counted, a panic in a host function becomes a value.
pub(super) struct Metered<F> {
    pub(super) call: F,
    pub(super) meter: Arc<Meter>,
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.meter.begin_poll();
        let call = &mut self.call;
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(call).poll(context)));
        self.meter.end_poll();
        // A guest that waits must not hold up those that compute.
        self.meter.give_up_turn();
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
