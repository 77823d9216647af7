//! Where a law runs: one [`Place`] per backend, and the [`Fixture`] that laws see, which doesn't tell which it is.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tasq_host::backend::memory::Letterbox;
use tasq_host::backend::url::{SqliteOptions, Sync as Durability};
use tasq_host::backend::{Backend, memory, sqlite};
use tasq_host::broker::{Delivery, Held, Message, Pushed, Reserve, Settled, Standing, Tracked};
use tasq_host::clock::{Clock, Simulated, System};
use tasq_host::task::{Ending, Run, TaskId, Timestamp, millis};

use crate::nouns::{asking, end, here, id};

pub mod nats;
pub mod redis;

/// A server, or what stands for one, that begins empty.
#[async_trait]
pub trait Place: Send + Sync {
    /// Another handle of this place, as another process has it. `foreign_results`: records leave by the outbox.
    async fn open(&self, foreign_results: bool) -> Backend;

    /// Leaves a JSON object in the inbox, as a program does that knows nothing of this one.
    async fn leave(&self, object: &str);

    /// Lets time pass, by the server's clock.
    async fn pass(&self, span: Duration);

    /// Now, by the server's clock.
    fn now(&self) -> Timestamp;

    /// The unit of a law's spans: so long that a busy machine's delays don't matter beside it, so short that
    /// [`Place::pass`] may wait for it.
    fn beat(&self) -> Duration;

    /// False where time may run on while the backend works, so that a measured delay says nothing.
    fn keeps_time(&self) -> bool {
        true
    }
}

/// A law's surroundings: a place, one handle of it, and short ways to use it.
pub struct Fixture {
    /// The handle that the short ways use.
    pub backend: Backend,
    place: Box<dyn Place>,
}

/// A reserve that expects something waits at most this long for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

impl Fixture {
    /// The first handle of a place.
    pub async fn at(place: impl Place + 'static) -> Fixture {
        Fixture { backend: place.open(false).await, place: Box::new(place) }
    }

    /// A second handle of the same place.
    pub async fn reopen(&self) -> Backend {
        self.place.open(false).await
    }

    /// The same place for a law about results that live elsewhere.
    pub async fn with_foreign_results(self) -> Fixture {
        Fixture { backend: self.place.open(true).await, place: self.place }
    }

    /// Leaves a JSON object in the inbox, as another program.
    pub async fn leave(&self, object: &str) {
        self.place.leave(object).await;
    }

    /// Lets time pass.
    pub async fn pass(&self, span: Duration) {
        self.place.pass(span).await;
    }

    /// Now, by the server's clock.
    pub fn now(&self) -> Timestamp {
        self.place.now()
    }

    /// Whether a measured delay says something.
    pub fn keeps_time(&self) -> bool {
        self.place.keeps_time()
    }

    /// So many units of time.
    pub fn beats(&self, count: u32) -> Duration {
        self.place.beat() * count
    }

    /// A worker that looks in queue `q` and has room for handler `h`, with a lease of ten beats.
    pub fn asking(&self, max: usize) -> Reserve {
        asking(&["q"], &["h"], max, self.beats(10))
    }

    /// Pushes.
    pub async fn push(&self, messages: Vec<Message>) -> Vec<Pushed> {
        self.backend.broker.push(messages).await.expect("push")
    }

    /// Pushes one; whether it was created.
    pub async fn push_one(&self, message: Message) -> bool {
        self.push(vec![message]).await[0].created
    }

    /// Waits for what a backend may do a moment later, because it costs too much to be done with each call.
    pub async fn soon(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let began = std::time::Instant::now();
        let moment = Duration::from_millis(10);
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            // Simulated time for a backend's clock, and real time for its threads.
            tokio::time::sleep(moment).await;
            tokio::task::spawn_blocking(move || std::thread::sleep(moment)).await.expect("a sleep ends");
        }
    }

    /// One look, without waiting for anything.
    pub async fn look(&self, request: &Reserve) -> Vec<Delivery> {
        self.backend.broker.reserve(request).await.expect("reserve")
    }

    /// Exactly `request.max` tasks, in as many looks as it takes.
    pub async fn take(&self, request: &Reserve) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < request.max {
            let request = Reserve { max: request.max - taken.len(), wait: PATIENCE, ..request.clone() };
            let more = self.look(&request).await;
            assert!(!more.is_empty(), "{} more tasks expected, none came", request.max);
            taken.extend(more);
        }
        assert_eq!(taken.len(), request.max, "more tasks than asked for");
        taken
    }

    /// One task of handler `h` from queue `q`.
    pub async fn take_one(&self) -> Delivery {
        self.take(&self.asking(1)).await.remove(0)
    }

    /// Pushes one and takes it.
    pub async fn running(&self, message: Message) -> Delivery {
        self.push(vec![message]).await;
        self.take_one().await
    }

    /// Nothing is there for this caller now.
    pub async fn nothing(&self, request: &Reserve) {
        assert_eq!(self.look(request).await, [], "nothing was expected");
    }

    /// Ends one run without effects.
    pub async fn end(&self, delivery: &Delivery, ending: Ending) -> Settled {
        self.settle(end(&delivery.run, ending)).await
    }

    /// Settles one end.
    pub async fn settle(&self, end: tasq_host::broker::End) -> Settled {
        let answers = self.backend.broker.settle(&[end]).await.expect("settle");
        assert_eq!(answers.len(), 1, "one answer per end");
        answers[0]
    }

    /// Extends one lease.
    pub async fn extend(&self, run: &Run, lease: Duration) -> Held {
        let answers = self.backend.broker.extend(std::slice::from_ref(run), lease).await.expect("extend");
        assert_eq!(answers.len(), 1, "one answer per run");
        answers[0]
    }

    /// Where a task stands.
    pub async fn standing(&self, text: &str) -> Option<Standing> {
        self.backend.operations.get(&[id(text)]).await.expect("get").remove(0)
    }

    /// A task that stands in the broker.
    pub async fn tracked(&self, text: &str) -> Tracked {
        here(self.standing(text).await)
    }

    /// Its record.
    pub async fn record(&self, text: &str) -> Option<tasq_host::results::Record> {
        let ids: [TaskId; 1] = [id(text)];
        self.backend.results.get(&ids).await.expect("get").remove(0)
    }
}

/// Memory on a simulated clock: time passes only where a law lets it, in no time.
pub struct MemorySimulated {
    clock: Arc<Simulated>,
    letterbox: Letterbox,
    local: Backend,
    foreign: Backend,
}

impl MemorySimulated {
    /// Runs a law.
    pub fn run<F: Future<Output = ()>>(law: impl FnOnce(Fixture) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let clock = Arc::new(Simulated::start());
            let letterbox = Letterbox::default();
            let open = |foreign| memory::open_with(clock.clone(), foreign, letterbox.clone());
            let (local, foreign) = (open(false), open(true));
            law(Fixture::at(MemorySimulated { clock, letterbox, local, foreign }).await).await;
        });
    }
}

#[async_trait]
impl Place for MemorySimulated {
    async fn open(&self, foreign_results: bool) -> Backend {
        if foreign_results { self.foreign.clone() } else { self.local.clone() }
    }

    async fn leave(&self, object: &str) {
        self.letterbox.put(object.to_owned());
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn beat(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// The machine's clock, set forward as a law lets time pass: what really waits, waits, and long spans take no time.
#[derive(Default)]
pub struct Shifted(AtomicU64);

impl Shifted {
    /// Sets it forward.
    pub fn shift(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        System.now().plus(Duration::from_millis(self.0.load(Ordering::SeqCst)))
    }
}

/// A law on the real clock must end within this.
const LIMIT: Duration = Duration::from_secs(120);

fn on_threads<F: Future<Output = ()>>(law: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let limited = runtime.expect("a runtime").block_on(async { tokio::time::timeout(LIMIT, law).await });
    limited.expect("a law on the real clock ends within its limit");
}

/// Memory on several threads and the shifted clock: what only shows when calls really meet.
pub struct MemoryThreaded {
    clock: Arc<Shifted>,
    letterbox: Letterbox,
    local: Backend,
    foreign: Backend,
}

impl MemoryThreaded {
    /// Runs a law.
    pub fn run<F: Future<Output = ()>>(law: impl FnOnce(Fixture) -> F) {
        on_threads(async {
            let clock = Arc::new(Shifted::default());
            let letterbox = Letterbox::default();
            let open = |foreign| memory::open_with(clock.clone(), foreign, letterbox.clone());
            let (local, foreign) = (open(false), open(true));
            law(Fixture::at(MemoryThreaded { clock, letterbox, local, foreign }).await).await;
        });
    }
}

#[async_trait]
impl Place for MemoryThreaded {
    async fn open(&self, foreign_results: bool) -> Backend {
        if foreign_results { self.foreign.clone() } else { self.local.clone() }
    }

    async fn leave(&self, object: &str) {
        self.letterbox.put(object.to_owned());
    }

    async fn pass(&self, span: Duration) {
        self.clock.shift(span);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn beat(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// A real SQLite file in a temporary folder, on the shifted clock.
pub struct Sqlite {
    clock: Arc<Shifted>,
    options: SqliteOptions,
    // Removed when the law is over.
    _folder: tempfile::TempDir,
}

impl Sqlite {
    /// Runs a law.
    pub fn run<F: Future<Output = ()>>(law: impl FnOnce(Fixture) -> F) {
        on_threads(async { law(Fixture::at(Sqlite::new()).await).await });
    }

    /// A file that doesn't exist yet.
    pub fn new() -> Sqlite {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = SqliteOptions { path: folder.path().join("tasq.db"), sync: Durability::Full };
        Sqlite { clock: Arc::default(), options, _folder: folder }
    }
}

impl Default for Sqlite {
    fn default() -> Sqlite {
        Sqlite::new()
    }
}

#[async_trait]
impl Place for Sqlite {
    async fn open(&self, foreign_results: bool) -> Backend {
        sqlite::open(&self.options, self.clock.clone(), foreign_results).await.expect("open the file")
    }

    async fn leave(&self, object: &str) {
        insert(&self.options, object);
    }

    async fn pass(&self, span: Duration) {
        self.clock.shift(span);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn beat(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Leaves an object as any program with SQLite does.
fn insert(options: &SqliteOptions, object: &str) {
    let file = rusqlite::Connection::open(&options.path).expect("the file opens");
    file.busy_timeout(PATIENCE).expect("a timeout is set");
    file.execute("INSERT INTO tasq_inbox (payload) VALUES (?1)", [object]).expect("it is inserted");
}

/// A real SQLite file on a simulated clock: its writer is a thread of its own, which paused time has to wait for.
pub struct SqliteSimulated {
    clock: Arc<Simulated>,
    options: SqliteOptions,
    // Removed when the law is over.
    _folder: tempfile::TempDir,
}

impl SqliteSimulated {
    /// Runs a law.
    pub fn run<F: Future<Output = ()>>(law: impl FnOnce(Fixture) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let Sqlite { options, _folder, .. } = Sqlite::new();
            let clock = Arc::new(Simulated::start());
            law(Fixture::at(SqliteSimulated { clock, options, _folder }).await).await;
        });
    }
}

#[async_trait]
impl Place for SqliteSimulated {
    async fn open(&self, foreign_results: bool) -> Backend {
        sqlite::open(&self.options, self.clock.clone(), foreign_results).await.expect("open the file")
    }

    async fn leave(&self, object: &str) {
        insert(&self.options, object);
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn beat(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn keeps_time(&self) -> bool {
        // Paused time jumps ahead whenever the runtime has nothing to do but wait for the writer's thread.
        false
    }
}
