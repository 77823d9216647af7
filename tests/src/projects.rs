//! Handlers in other languages, built as their author would: by the command in their project's `build.toml`.
//!
//! A project is built in a copy without links, laid out like one that stands alone, and once for each state of its
//! sources and tools: the component stays in `target/guests/projects`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::guests::{root, said_by, scratch};

/// The component of the project in `folder` (of the repository), under a file name of `name`, with `manifest` beside it.
/// Panics with what the tools said where it can't be built.
pub fn project(folder: &str, name: &str, manifest: &str) -> PathBuf {
    build(folder, name, manifest).unwrap_or_else(|reason| panic!("{folder} can't be built: {reason}"))
}

/// Runs the unit tests of the project in `folder`, once for each state of it. Panics with what they said where they fail.
pub fn unit_tests(folder: &str) {
    let tested = || {
        let (sources, home) = (root().join(folder), home(folder)?);
        let passed = home.join("tested");
        if !passed.is_file() {
            run(&sources, &home.join("tests"), "test")?;
            fs::write(&passed, "").map_err(told(&passed))?;
        }
        Ok(())
    };
    tested().unwrap_or_else(|reason: String| panic!("{folder}: its tests fail: {reason}"));
}

fn build(folder: &str, name: &str, manifest: &str) -> Result<PathBuf, String> {
    let (sources, home) = (root().join(folder), home(folder)?);
    let component = home.join(format!("{name}.wasm"));
    if !component.is_file() {
        let copy = home.join("project");
        let steps = run(&sources, &copy, "build")?;
        fs::copy(copy.join(step(&steps, "output")?), home.join("part")).map_err(told(&home))?;
        fs::rename(home.join("part"), &component).map_err(told(&home))?;
    }
    fs::write(component.with_extension("toml"), manifest).map_err(told(&component))?;
    Ok(component)
}

/// Where what is made of a project stays: another place for each state of its sources and tools.
fn home(folder: &str) -> Result<PathBuf, String> {
    let sources = root().join(folder);
    let mut digest = DefaultHasher::new();
    fs::read(root().join("scripts/guest-tools")).map_err(told(&sources))?.hash(&mut digest);
    hash(&sources, &mut digest).map_err(told(&sources))?;
    Ok(scratch().join("projects").join(format!("{}-{:016x}", folder.replace('/', "-"), digest.finish())))
}

/// Runs one of the project's commands in a fresh copy of it, and answers its build.toml.
fn run(sources: &Path, copy: &Path, command: &str) -> Result<toml::Table, String> {
    let _ = fs::remove_dir_all(copy);
    copy_into(sources, copy).map_err(told(copy))?;
    let file = copy.join("build.toml");
    let text = fs::read_to_string(&file).map_err(told(&file))?;
    let steps: toml::Table = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut tools = Command::new("scripts/guest-tools");
    tools.arg("--offline");
    let tools = said_by(tools)?;
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("cd '{}' && {}", copy.display(), step(&steps, command)?)).env("PATH", path);
    // Rust's own: the repository's toolchain has no targets for WebAssembly.
    shell.env("RUSTUP_TOOLCHAIN", said_by(Command::new("scripts/wasm-toolchain"))?);
    said_by(shell)?;
    Ok(steps)
}

fn step<'a>(steps: &'a toml::Table, key: &str) -> Result<&'a str, String> {
    steps.get(key).and_then(toml::Value::as_str).ok_or(format!("build.toml has no `{key}`"))
}

/// Every file below `folder`, links followed: its name and its bytes.
fn hash(folder: &Path, digest: &mut DefaultHasher) -> io::Result<()> {
    for entry in sorted(folder)? {
        entry.file_name().hash(digest);
        if entry.is_dir() {
            hash(&entry, digest)?;
        } else {
            fs::read(&entry)?.hash(digest);
        }
    }
    Ok(())
}

fn copy_into(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in sorted(from)? {
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy_into(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

/// Without what a build or a test by hand leaves behind.
fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let left_behind = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "wasm")
            || path.ends_with("__pycache__")
            || path.ends_with("node_modules")
    };
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    entries.retain(|path| !left_behind(path));
    entries.sort();
    Ok(entries)
}

fn told(place: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", place.display())
}
