//! Where cases are held: one sandbox for all, one case at a time, a bystander beside it, and a look afterwards whether
//! everything is as it was.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tasq_host::backend;
use tasq_host::sandbox::ceilings::Operator;
use tasq_host::sandbox::compile::Compiler;
use tasq_host::sandbox::secrets::Secrets;
use tasq_host::sandbox::{CPU, Handler, Options, Refusal, Sandbox, TIMEOUT};
use tasq_host::task::{Outcome, Receipt};
use tasq_tests::guests::guest;
use tasq_tests::heap;
use tasq_tests::runs::{Held, comes_true, run, told};
use tasq_tests::texts;
use tasq_tests::web::Web;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{Case, Trial, page};

pub(crate) const SLOTS: usize = 16;
/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What the allocator and the pool keep, of all cases together: handlers are compiled here.
const SLACK: u64 = 128 << 20;
/// Of the heap itself: what is loaded, and what the engine knows of compiled code.
const HEAP: u64 = 32 << 20;

pub(crate) struct Bench {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) runtime: Runtime,
    bystander: Arc<Handler>,
    /// Whom handlers may reach that are granted it.
    web: Web,
    /// Where they keep what outlives their runs.
    _kept: TempDir,
    /// When every slot had once been at its limit, and was free again.
    before: Held,
    /// Bytes of the heap, then.
    heap: u64,
    /// The 99th percentile of the bystander's runs when nothing disturbs it.
    undisturbed: Duration,
}

/// How much longer than its limit a run may take, and than undisturbed a bystander's. `TASQ_OVERRUN_MS` sets the first:
/// on a machine of one's own 100 must do, and then 20 for the bystander. Where other programs have the machine too, both
/// are generous.
fn overrun() -> (Duration, Duration) {
    match std::env::var("TASQ_OVERRUN_MS") {
        Ok(ms) => (Duration::from_millis(ms.parse().expect("TASQ_OVERRUN_MS is a number")), Duration::from_millis(20)),
        Err(_) => (Duration::from_secs(3), Duration::from_secs(3)),
    }
}

/// Holds a case to its end and its time, and the process to what it was before.
pub(crate) fn hold(case: &Case) {
    // One at a time: they share the machine's cores, and this process's memory and files.
    static BENCH: OnceLock<Mutex<Bench>> = OnceLock::new();
    let mutex = BENCH.get_or_init(|| Mutex::new(Bench::new()));
    let bench = mutex.lock().unwrap_or_else(|failed| {
        // A failure's backtrace takes memory for good; the cases after it are not to blame.
        let mut bench = PoisonError::into_inner(failed);
        mutex.clear_poison();
        (bench.before, bench.heap) = (Held::now(&bench.sandbox), heap::held());
        bench
    });
    let began = Instant::now();
    let (ends, cost) = match &case.trial {
        Trial::Here(trial, _) => {
            let end = trial(&bench);
            (vec![end], format!("{} ms", began.elapsed().as_millis()))
        }
        trial => bench.try_guest(case, trial),
    };
    for end in &ends {
        // It stands in logs and on terminals.
        assert!(!end.chars().any(char::is_control), "{end:?}");
        assert!(case.ends.iter().any(|expected| end.starts_with(expected)), "expected {:?}, found {end}", case.ends);
    }
    bench.is_as_before();
    page::note(case, &ends, &cost);
}

impl Bench {
    fn new() -> Bench {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let options = Options { slots: SLOTS, pagemap_scan: true, cache: Some(cache), memory_budget: None };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (web, kept) = (Web::start(), tempfile::tempdir().unwrap());
        let http = ["http://*".to_owned(), web.url()].map(|rule| rule.parse().unwrap());
        let operator = Operator { http: Some(http.to_vec()), ..Operator::default() };
        let sandbox = Sandbox::with(options, operator, Some(Secrets::default()), Compiler::Here).unwrap();
        // On a file, so that what is kept is none of this process's memory.
        let file = format!("sqlite:{}", kept.path().join("kept.db").display()).parse().unwrap();
        sandbox.lend(runtime.block_on(backend::open(&file, None)).unwrap().store);
        let sandbox = Arc::new(sandbox);
        let bystander = sandbox.load_file(&guest("noop")).unwrap();
        let large = load(&sandbox, &guest("misbehave"), "memory = \"32MiB\"").unwrap();
        let undisturbed = runtime.block_on(async {
            at_once(&sandbox, &large, r#"{"do":"allocate","mib":24}"#, SLOTS).await;
            let mut times = Vec::new();
            for _ in 0..1_000 {
                let began = Instant::now();
                run(&sandbox, &bystander, "").await;
                times.push(began.elapsed());
            }
            assert!(comes_true(PATIENCE, || sandbox.occupied() == 0).await);
            percentile(&mut times)
        });
        let (before, heap) = (Held::now(&sandbox), heap::held());
        Bench { sandbox, runtime, bystander, web, _kept: kept, before, heap, undisturbed }
    }

    /// How each of the runs ended, and what the slowest took.
    fn try_guest(&self, case: &Case, trial: &Trial) -> (Vec<String>, String) {
        let (file, payload, _kept) = match trial {
            Trial::Misbehave(payload, _) => (guest("misbehave"), *payload, None),
            Trial::Fetch(payload, _) => (guest("fetch"), *payload, None),
            Trial::Command(payload, _) => (guest("command"), *payload, None),
            _ => {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("guest.wasm");
                std::fs::write(&file, texts::component(&std::fs::read_to_string(text_of(case.name)).unwrap())).unwrap();
                (file, "payload", Some(folder))
            }
        };
        let told_the_place = |text: &str| text.replace("{web}", &self.web.url());
        // A name of its own: what it keeps is no other case's.
        let handler = match load_as(case.name, &self.sandbox, &file, &told_the_place(case.manifest)) {
            Ok(handler) => handler,
            Err(refusal) => return (vec![format!("refused: {}", refusal.reason)], String::new()),
        };
        let crowd = (case.per_core * cores()).max(1);
        let ran = self.beside_bystander(at_once(&self.sandbox, &handler, told_the_place(payload), crowd));
        let slowest = ran.iter().map(|(_, _, took)| *took).max().unwrap();
        let cpu = ran.iter().map(|(_, receipt, _)| receipt.cpu_ms).max().unwrap();
        let (timeout, budget) = (handler.manifest.timeout.unwrap_or(TIMEOUT), handler.manifest.cpu.unwrap_or(CPU));
        let (over, _) = overrun();
        for (outcome, receipt, took) in &ran {
            assert!(*took <= timeout + over, "{outcome:?} took {took:?} with a limit of {timeout:?}");
            let computed = Duration::from_millis(receipt.cpu_ms);
            assert!(computed <= budget + over, "{outcome:?} computed for {computed:?} with a limit of {budget:?}");
            let memory = handler.manifest.memory.map_or(u64::MAX, |memory| memory.as_u64());
            assert!(receipt.peak_memory_bytes <= memory, "{receipt:?}");
        }
        let cost = format!("{} ms, {cpu} ms of CPU", slowest.as_millis());
        (ran.iter().map(|(outcome, _, _)| ended(outcome)).collect(), cost)
    }

    /// Does `work` while another handler's tasks go on, and holds those to their time.
    pub(crate) fn beside_bystander<T>(&self, work: impl Future<Output = T>) -> T {
        let over = Arc::new(AtomicBool::new(false));
        let bystanding = self.runtime.spawn({
            let (sandbox, bystander, over) = (self.sandbox.clone(), self.bystander.clone(), over.clone());
            async move {
                let mut times = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let (outcome, _) = run(&sandbox, &bystander, "").await;
                    assert_eq!(outcome, Outcome::Done("".into()), "the bystander's");
                    times.push(began.elapsed());
                }
                times
            }
        });
        let done = self.runtime.block_on(work);
        over.store(true, Ordering::SeqCst);
        let mut times = self.runtime.block_on(bystanding).expect("the bystander's runs succeed");
        let (_, allowed) = overrun();
        // Of a few runs the 99th percentile would be the slowest, which any other program can cause.
        if times.len() >= 100 {
            let slow = percentile(&mut times);
            assert!(slow <= self.undisturbed + allowed, "the bystander's 99th percentile was {slow:?}");
        }
        done
    }

    fn is_as_before(&self) {
        let is_back = || Held::now(&self.sandbox).is_back_at(&self.before, SLACK) && heap::held() <= self.heap + HEAP;
        let came_back = self.runtime.block_on(comes_true(PATIENCE, is_back));
        let (now, heap) = (Held::now(&self.sandbox), heap::held());
        assert!(came_back, "before {:?} and {} bytes of the heap, now {now:?} and {heap}", self.before, self.heap);
    }
}

/// How a run ended, and what it tells of the host's answers, each once.
pub(crate) fn ended(outcome: &Outcome) -> String {
    let mut end = told(outcome);
    let Outcome::Done(result) = outcome else { return end };
    let said = serde_json::from_slice(result).unwrap_or(Value::Null);
    let answers = said["answers"].as_array().cloned().unwrap_or_else(|| vec![said]);
    let mut separator = ": ";
    for answer in answers {
        let what = answer["error"].as_str().map(str::to_owned).or(answer.get("status").map(Value::to_string));
        if let Some(what) = what.filter(|what| !end.contains(what.as_str())) {
            end.push_str(separator);
            end.push_str(&what);
            separator = ", ";
        }
    }
    end
}

/// Loads a copy of `file` with this manifest beside it.
pub(crate) fn load(sandbox: &Sandbox, file: &Path, manifest: &str) -> Result<Arc<Handler>, Refusal> {
    load_as("guest", sandbox, file, manifest)
}

fn load_as(name: &str, sandbox: &Sandbox, file: &Path, manifest: &str) -> Result<Arc<Handler>, Refusal> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(name).with_extension("wasm");
    std::fs::copy(file, &copy).unwrap();
    std::fs::write(copy.with_extension("toml"), manifest).unwrap();
    sandbox.load_file(&copy)
}

/// So many runs at once: how each ended, and how long it took.
pub(crate) async fn at_once(
    sandbox: &Arc<Sandbox>,
    handler: &Arc<Handler>,
    payload: impl Into<Bytes>,
    crowd: usize,
) -> Vec<(Outcome, Receipt, Duration)> {
    let payload = payload.into();
    let one = || {
        let (sandbox, handler, payload) = (sandbox.clone(), handler.clone(), payload.clone());
        async move {
            let began = Instant::now();
            let (outcome, receipt) = run(&sandbox, &handler, payload).await;
            (outcome, receipt, began.elapsed())
        }
    };
    let running: Vec<_> = (0..crowd).map(|_| tokio::spawn(one())).collect();
    let mut ran = Vec::new();
    for running in running {
        ran.push(tokio::time::timeout(PATIENCE, running).await.expect("it ends").expect("no panic"));
    }
    ran
}

pub(crate) fn text_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name).with_extension("wat")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn percentile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
