//! The handlers that tests run: `tests/guests/*` and `examples/*`, compiled when the first test asks.
//!
//! What is missing or out of date is built by cargo itself, once per process: about a second when nothing has changed.
//! A guest that can't be built fails the test that wants it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

type Built = Result<HashMap<String, PathBuf>, String>;

/// The component of `tests/guests/NAME`.
pub fn guest(name: &str) -> PathBuf {
    built("tests/guests", name)
}

/// The core module, for WASI preview 1, of the program `tests/guests/NAME`.
pub fn module(name: &str) -> PathBuf {
    static BUILT: OnceLock<Built> = OnceLock::new();
    find(BUILT.get_or_init(|| under_lock(|| build("wasm32-wasip1", &[name.to_owned()]))), name)
}

/// The core module, for WASI preview 1, of the library `examples/NAME`: it exports the contract's `handle` itself.
pub fn reactor(name: &str) -> PathBuf {
    static BUILT: OnceLock<Built> = OnceLock::new();
    find(BUILT.get_or_init(|| under_lock(|| build("wasm32-wasip1", &packages("examples")))), name)
}

/// The component of `examples/NAME`, built by plain cargo.
pub fn example(name: &str) -> PathBuf {
    built("examples", name)
}

/// The component of `examples/NAME`, built by cargo-component: `make tools` installs it.
pub fn example_by_cargo_component(name: &str) -> PathBuf {
    static BUILT: OnceLock<Built> = OnceLock::new();
    find(BUILT.get_or_init(|| under_lock(|| build_by_cargo_component(&packages("examples")))), name)
}

fn built(folder: &str, name: &str) -> PathBuf {
    static BUILT: OnceLock<Built> = OnceLock::new();
    assert!(root().join(folder).join(name).is_dir(), "there is no guest {folder}/{name}");
    find(BUILT.get_or_init(|| under_lock(build_all)), name)
}

fn find(built: &Built, name: &str) -> PathBuf {
    match built {
        Ok(files) => files.get(name).unwrap_or_else(|| panic!("cargo made no component of `{name}`")).clone(),
        Err(reason) => panic!("the guests can't be built: {reason}"),
    }
}

/// All in one go: asking cargo costs more than what there is to do.
fn build_all() -> Built {
    let mut names = packages("tests/guests");
    names.extend(packages("examples"));
    build("wasm32-wasip2", &names)
}

fn build(target: &str, names: &[String]) -> Built {
    let toolchain = said_by(Command::new("scripts/wasm-toolchain"))?;
    let mut cargo = cargo();
    cargo.arg(format!("+{toolchain}")).args(["build", "--target", target]);
    artifacts(cargo, names)
}

fn build_by_cargo_component(names: &[String]) -> Built {
    let toolchain = said_by(Command::new("scripts/wasm-toolchain"))?;
    let mut script = Command::new("scripts/cargo-component");
    script.arg("--offline");
    let tool = said_by(script)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(PathBuf::from(tool)).chain(std::env::split_paths(&path)))
        .map_err(|error| error.to_string())?;
    let mut cargo = cargo();
    cargo.env("PATH", path).arg(format!("+{toolchain}")).args(["component", "build"]);
    let files = artifacts(cargo, names)?;
    files.into_iter().map(|(name, file)| Ok((name.clone(), set_aside(&name, &file)?))).collect()
}

/// A copy that the next build doesn't touch: cargo-component turns a module into a component where it lies, each time,
/// and another process's test must not read it half way.
fn set_aside(name: &str, file: &Path) -> Result<PathBuf, String> {
    let folder = scratch().join("by-cargo-component");
    let (whole, part) = (folder.join(format!("{name}.wasm")), folder.join(format!("{name}.part")));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(file, &part))
        .and_then(|_| fs::rename(&part, &whole))
        .map_err(|error| format!("{}: {error}", whole.display()))?;
    Ok(whole)
}

/// Runs a build and finds what it made in cargo's messages, wherever that lies.
fn artifacts(mut cargo: Command, names: &[String]) -> Built {
    cargo.args(["--profile", "guest", "--locked", "--message-format", "json-render-diagnostics"]);
    cargo.args(names.iter().flat_map(|name| ["-p", name.as_str()]));
    let messages = said_by(cargo)?;
    let files = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|file| file.extension() == Some(OsStr::new("wasm")))
        .filter_map(|file| Some((file.file_stem()?.to_str()?.to_owned(), file.clone())));
    Ok(files.collect())
}

/// Cargo with nothing of the cargo that runs the tests: its flags would make other guests of the same sources.
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for name in ["CARGO", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN"] {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs a program in the root of the repository and gives what it printed, or all that it said when it failed.
pub(crate) fn said_by(mut command: Command) -> Result<String, String> {
    let output = command
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} ended with {}\n{said}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Test processes that start together wait here for the first, and then find everything done.
fn under_lock(build: impl FnOnce() -> Built) -> Built {
    let lock = fs::create_dir_all(scratch())
        .and_then(|()| File::create(scratch().join("lock")))
        .and_then(|file| file.lock().map(|()| file));
    match lock {
        Ok(_held) => build(),
        Err(error) => Err(format!("{}: {error}", scratch().display())),
    }
}

/// The folders in `folder` that are packages; a package is called like its folder.
fn packages(folder: &str) -> Vec<String> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    // What uses the host is a program for this machine.
    let is_package = |path: &PathBuf| {
        fs::read_to_string(path.join("Cargo.toml")).is_ok_and(|manifest| !manifest.contains("tasq-host ="))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_package);
    paths.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

pub(crate) fn scratch() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(target).join("guests")
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}
