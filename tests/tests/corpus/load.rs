//! Files that no guest's text can be: each function puts one into a folder with a handler that serves, and tells what the
//! host made of it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tasq_host::sandbox::{Options, Sandbox};
use tasq_host::task::{Name, Outcome};
use tasq_tests::guests::guest;
use tasq_tests::runs::run;
use tasq_tests::texts;

use crate::Bench;

/// A folder in which `good` serves, whatever becomes of `bad`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::write(folder.path("good.wasm"), texts::component("")).unwrap();
        folder
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn bad(&self) -> PathBuf {
        self.path("bad.wasm")
    }

    /// `served`, or why not; `good` is served in any case.
    fn told(&self) -> String {
        let sandbox = sandbox();
        let loaded = sandbox.load_folder(self.0.path()).unwrap();
        let has = |name: &str| sandbox.handlers().contains_key(&name.parse::<Name>().unwrap());
        assert!(has("good"));
        assert_eq!(has("bad"), loaded.refused.is_empty());
        loaded.refused.first().map_or("served".to_owned(), |refusal| format!("refused: {}", refusal.reason))
    }
}

fn sandbox() -> Sandbox {
    Sandbox::new(Options { slots: 2, pagemap_scan: true, cache: None, memory_budget: None }).unwrap()
}

fn of(bytes: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    fs::write(folder.bad(), bytes).unwrap();
    folder.told()
}

pub(crate) fn random_bytes(_: &Bench) -> String {
    of((0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect::<Vec<_>>())
}

pub(crate) fn truncated(_: &Bench) -> String {
    let whole = fs::read(guest("noop")).unwrap();
    of(&whole[..whole.len() / 2])
}

pub(crate) fn empty(_: &Bench) -> String {
    of("")
}

pub(crate) fn text(_: &Bench) -> String {
    of("hello\n")
}

pub(crate) fn machine_code(_: &Bench) -> String {
    let (folder, home) = (Folder::new(), tempfile::tempdir().unwrap());
    let cache = home.path().join("cache");
    let options = Options { slots: 2, pagemap_scan: true, cache: Some(cache.clone()), memory_budget: None };
    Sandbox::new(options).unwrap().load_file(&folder.path("good.wasm")).unwrap();
    let compiled = fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    fs::copy(compiled, folder.bad()).unwrap();
    folder.told()
}

pub(crate) fn two_hundred_mib(_: &Bench) -> String {
    let folder = Folder::new();
    File::create(folder.bad()).unwrap().set_len(200 << 20).unwrap();
    folder.told()
}

/// One more than a module may have by the engine's rules; what is within them and takes too long to compile is another
/// matter.
pub(crate) fn a_million_functions(_: &Bench) -> String {
    let functions = "(func)".repeat(1_000_001);
    of(texts::assembled(&[&format!("(core module {functions})")]))
}

pub(crate) fn pipe(_: &Bench) -> String {
    let folder = Folder::new();
    assert!(Command::new("mkfifo").arg(folder.bad()).status().unwrap().success());
    folder.told()
}

pub(crate) fn unreadable(_: &Bench) -> String {
    let folder = Folder::new();
    symlink("bad.wasm", folder.bad()).unwrap();
    folder.told()
}

pub(crate) fn link_inside(_: &Bench) -> String {
    let folder = Folder::new();
    fs::create_dir(folder.path("..v1")).unwrap();
    fs::copy(folder.path("good.wasm"), folder.path("..v1/bad.wasm")).unwrap();
    symlink("..v1", folder.path("..data")).unwrap();
    symlink("..data/bad.wasm", folder.bad()).unwrap();
    folder.told()
}

pub(crate) fn link_outside(_: &Bench) -> String {
    let (folder, elsewhere) = (Folder::new(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("bad.wasm");
    fs::copy(folder.path("good.wasm"), &target).unwrap();
    symlink(target, folder.bad()).unwrap();
    folder.told()
}

/// Another file takes its name all the time, and each is whole: what is loaded is one or the other.
pub(crate) fn replaced_during_the_read(_: &Bench) -> String {
    let folder = Folder::new();
    fs::copy(guest("noop"), folder.bad()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let versions = [guest("noop"), guest("echo")];
            for version in versions.iter().cycle() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                fs::copy(version, folder.path("new.part")).unwrap();
                fs::rename(folder.path("new.part"), folder.bad()).unwrap();
            }
        });
        let sandbox = sandbox();
        let refused = (0..20).find_map(|_| sandbox.load_file(&folder.bad()).err());
        over.store(true, Ordering::SeqCst);
        refused.map_or("served".to_owned(), |refusal| format!("refused: {}", refusal.reason))
    })
}

/// The version before serves on, for what runs and for what comes.
pub(crate) fn broken_version_under_load(bench: &Bench) -> String {
    let (folder, sandbox) = (Folder::new(), std::sync::Arc::new(sandbox()));
    let whole = texts::component("");
    fs::write(folder.bad(), &whole).unwrap();
    assert!(sandbox.load_folder(folder.0.path()).unwrap().refused.is_empty());
    let served = || sandbox.handlers()[&"bad".parse::<Name>().unwrap()].clone();
    let before = served();
    fs::write(folder.bad(), &whole[..whole.len() - 1]).unwrap();
    let loading = bench.runtime.spawn_blocking({
        let (sandbox, folder) = (sandbox.clone(), folder.0.path().to_owned());
        move || sandbox.load_folder(&folder).unwrap()
    });
    let loaded = bench.runtime.block_on(async {
        while !loading.is_finished() {
            assert_eq!(run(&sandbox, &before, "").await.0, Outcome::Done("".into()));
        }
        assert_eq!(run(&sandbox, &served(), "").await.0, Outcome::Done("".into()));
        loading.await.unwrap()
    });
    assert_eq!(served().digest, before.digest);
    format!("refused: {}", loaded.refused[0].reason)
}
