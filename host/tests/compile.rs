//! Files are compiled in a child process: what takes too much is refused, and nothing else is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tasq_host::sandbox::ceilings::Operator;
use tasq_host::sandbox::compile::{Apart, Compiler};
use tasq_host::sandbox::secrets::Secrets;
use tasq_host::sandbox::{Options, Sandbox};
use tasq_tests::guests::{example, module, reactor};
use tasq_tests::projects::project;

fn apart() -> Apart {
    Apart::new(env!("CARGO_BIN_EXE_tasq-host").into())
}

fn sandbox(apart: Apart, cache: Option<PathBuf>) -> Sandbox {
    let options = Options { slots: 2, pagemap_scan: true, cache, memory_budget: None };
    let (operator, secrets) = (Operator::default(), Some(Secrets::default()));
    Sandbox::with(options, operator, secrets, Compiler::Apart(apart)).expect("an engine")
}

/// A program of `functions` functions with `steps` steps each, which are long to compile and short to write down.
fn bomb(folder: &Path, functions: u32, steps: usize) -> PathBuf {
    let section = |id: u8, content: Vec<u8>| [vec![id], leb(content.len()), content].concat();
    // $0 = rotl($0 * $1, $1 ^ $0)
    let step = [0x20, 0, 0x20, 1, 0x7e, 0x20, 1, 0x20, 0, 0x85, 0x89, 0x21, 0];
    let body = [&[0][..], &step.repeat(steps), &[0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    let count = leb(functions as usize + 1);
    let bytes = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, b"\x02\x60\0\0\x60\x02\x7e\x7e\0".to_vec()),
        section(3, [count.clone(), vec![0], vec![1; functions as usize]].concat()),
        section(7, b"\x01\x06_start\0\0".to_vec()),
        section(10, [count, b"\x02\0\x0b".to_vec(), body.repeat(functions as usize)].concat()),
    ];
    let file = folder.join("bomb.wasm");
    fs::write(&file, bytes.concat()).expect("a file");
    file
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[test]
fn every_kind_of_file_is_compiled_apart_as_it_is_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let apart = sandbox(apart(), Some(folder.path().join("cache")));
    for file in [example("add"), module("command"), reactor("add")] {
        apart.load_file(&file).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    let bad = folder.path().join("bad.wasm");
    fs::write(&bad, b"\0asm\x0d\0\x01\0rubbish").expect("a file");
    let refusal = apart.load_file(&bad).err().expect("refused");
    assert!(refusal.reason.starts_with("not a valid component: "), "{refusal}");
}

#[test]
fn what_the_cache_has_needs_no_child() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Some(folder.path().join("cache"));
    sandbox(apart(), cache.clone()).load_file(&example("add")).unwrap_or_else(|refusal| panic!("{refusal}"));
    let nobody = Apart::new(folder.path().join("nobody"));
    sandbox(nobody.clone(), cache).load_file(&example("add")).unwrap_or_else(|refusal| panic!("{refusal}"));
    let refusal = sandbox(nobody, None).load_file(&example("add")).err().expect("refused");
    assert!(refusal.reason.starts_with("can't be compiled: "), "{refusal}");
}

#[test]
fn a_file_that_takes_too_long_to_compile_is_refused_and_its_neighbours_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(example("add"), folder.path().join("add.wasm")).expect("a copy");
    bomb(folder.path(), 60, 20_000);
    let cache = folder.path().join("cache");
    sandbox(apart(), Some(cache.clone())).load_file(&example("add")).unwrap_or_else(|refusal| panic!("{refusal}"));
    let sandbox = sandbox(Apart { cpu: Duration::from_secs(1), ..apart() }, Some(cache));
    for _ in 0..2 {
        let loaded = sandbox.load_folder(folder.path()).expect("a folder");
        let reasons: Vec<&str> = loaded.refused.iter().map(|refusal| refusal.reason.as_str()).collect();
        assert_eq!(reasons, ["compiling it takes more than its limit of 1s"]);
        assert_eq!(sandbox.handlers().len(), 1);
    }
}

#[test]
fn a_file_that_takes_too_much_memory_to_compile_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = bomb(folder.path(), 2, 500_000);
    let refusal = sandbox(Apart { memory: 400 << 20, ..apart() }, None).load_file(&file).err().expect("refused");
    assert_eq!(refusal.reason, "compiling it takes more than its limit of 400.0 MiB of memory");
}

/// The largest kind of file in use, of 19 MiB: it takes between a twelfth and a fifth of the memory, and 25 s of 120.
/// That it is compiled at all is what `projects.rs` shows, where no cache has it yet; this, that there is room to grow.
#[test]
fn a_python_handler_takes_less_than_half_of_what_compiling_may_take() {
    let file = project("examples/python/add", "add", "");
    let whole = apart();
    let half = Apart { memory: whole.memory / 2, cpu: whole.cpu / 2, ..whole };
    sandbox(half, None).load_file(&file).unwrap_or_else(|refusal| panic!("{refusal}"));
}

#[test]
fn what_takes_long_to_compile_is_told_of_until_it_is_done() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = bomb(folder.path(), 2, 20_000);
    let patience = Duration::from_millis(1);
    let apart = Apart { patience, tell: |line| TOLD.lock().expect("no panic").push(line.to_owned()), ..apart() };
    let cache = Some(folder.path().join("cache"));
    sandbox(apart.clone(), cache.clone()).load_file(&file).unwrap_or_else(|refusal| panic!("{refusal}"));
    let told = std::mem::take(&mut *TOLD.lock().expect("no panic"));
    let Some((last, progress)) = told.split_last().filter(|(_, progress)| !progress.is_empty()) else {
        panic!("expected several lines, found {told:?}")
    };
    let shown = file.display();
    assert!(last.starts_with(&format!("compiled {shown} in ")), "{last}");
    for line in progress {
        assert!(line.starts_with(&format!("compiling {shown}, ")) && line.ends_with(" s so far"), "{line}");
    }
    // What the cache has is quick, and nothing to speak of.
    sandbox(apart, cache).load_file(&file).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(*TOLD.lock().expect("no panic"), [""; 0]);
}
