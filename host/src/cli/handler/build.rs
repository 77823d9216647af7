//! `tasq-host handler build`: from a project to a file in the handlers folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::super::error::{Code, Error};
use super::super::output;
use super::super::sandbox::CacheArgs;
use super::workplace::Workplace;
use crate::config::Config;
use tasq_host::sandbox::{Refusal, Sandbox};
use tasq_host::task::Name;

/// Build a handler's project, check what comes out, and put it into the handlers folder
///
/// The project's build.toml says how: `build` is a command line for sh, `output` the .wasm that it makes, and `[tools]`
/// names the programs that have to be there. The project's folder is called like the handler; a manifest NAME.toml in it
/// goes along. Where links in the folder lead out of it, a copy with what they lead to is built. What the host wouldn't take
/// replaces nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host handler build ./add --handlers ./wasm")]
pub(crate) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR")]
    project: PathBuf,
    /// Where NAME.wasm and NAME.toml go; made where it is missing
    #[arg(long, value_name = "DIR", default_value = "./wasm")]
    handlers: PathBuf,
    #[command(flatten)]
    cache: CacheArgs,
}

/// `build.toml`. Its `test` is for people.
#[derive(Deserialize)]
struct Recipe {
    /// Run by sh in the project's folder.
    build: String,
    /// Relative to the project's folder.
    output: PathBuf,
    /// Program → how to get it.
    #[serde(default)]
    tools: BTreeMap<String, String>,
}

/// Builds one project.
pub(crate) fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let (project, recipe) = (&args.project, read(&args.project)?);
    let name = name(project)?;
    expect_tools(&recipe)?;
    let place = Workplace::of(project).map_err(|error| failed(project, format!("it can't be built: {error}")))?;
    build(project, &place.folder, &recipe)?;
    let built = Files { wasm: place.folder.join(&recipe.output), manifest: project.join(format!("{name}.toml")) };
    let staged = Staged::new(&args.handlers, built, name.clone())?;
    staged.put(&args.cache.open(config)?, &args.handlers)?;
    Ok(output::line(&args.handlers.join(format!("{name}.wasm")).display().to_string())?)
}

fn read(project: &Path) -> Result<Recipe, Error> {
    let file = project.join("build.toml");
    let wrong = |found: String| Error::usage(format!("{}: expected how to build the project, {found}", file.display()));
    let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => wrong("found nothing".into()),
        _ => wrong(error.to_string()),
    })?;
    toml::from_str(&text).map_err(|error| wrong(format!("found another: {}", error.message())))
}

/// By the folder's real path: `.` is a project as well.
fn name(project: &Path) -> Result<Name, Error> {
    let wrong = |why: String| Error::usage(format!("{}: {why}", project.display()));
    let real = project.canonicalize().map_err(|error| wrong(error.to_string()))?;
    real.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .parse()
        .map_err(|error| wrong(format!("{error}")).hint("the project's folder is called like the handler: rename it"))
}

fn expect_tools(recipe: &Recipe) -> Result<(), Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    match recipe.tools.iter().find(|(tool, _)| !is_there(tool)) {
        Some((tool, how)) => {
            Err(Error::new(Code::Failed, format!("{tool}: expected in PATH, found nowhere")).hint(how))
        }
        None => Ok(()),
    }
}

fn build(project: &Path, folder: &Path, recipe: &Recipe) -> Result<(), Error> {
    let mut sh = Command::new("sh");
    sh.args(["-c", &recipe.build]).current_dir(folder).stdin(Stdio::null());
    // Stdout is for the command's own answer.
    let ended = sh.stdout(Stdio::from(io::stderr())).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(project, format!("`{}` ended with {status}", recipe.build))),
        Err(error) => Err(failed(project, format!("sh: {error}"))),
    }
}

/// What a project has for the handlers folder; the manifest may be missing.
struct Files {
    wasm: PathBuf,
    manifest: PathBuf,
}

/// Copies in a folder of their own inside the handlers folder: on the same disk, and seen by no worker.
struct Staged {
    folder: PathBuf,
    built: Files,
    name: Name,
}

impl Staged {
    fn new(handlers: &Path, built: Files, name: Name) -> Result<Staged, Error> {
        let folder = handlers.join(format!(".build-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        let staged = Staged { folder, built, name };
        let Files { wasm, manifest } = &staged.built;
        let none = |error| failed(wasm, format!("expected what the build makes: {error}"));
        fs::copy(wasm, staged.file("wasm")).map_err(none)?;
        if manifest.is_file() {
            fs::copy(manifest, staged.file("toml")).map_err(|error| failed(manifest, error))?;
        }
        Ok(staged)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    fn put(&self, sandbox: &Sandbox, handlers: &Path) -> Result<(), Error> {
        if let Some(refusal) = sandbox.inspect(&self.file("wasm"))?.refusal {
            let of_manifest = refusal.file == self.file("toml");
            let file = if of_manifest { &self.built.manifest } else { &self.built.wasm };
            return Err(Refusal { file: file.clone(), ..refusal }.into());
        }
        // The manifest first: the new code must not run under an older one's grants.
        for extension in ["toml", "wasm"] {
            let (from, to) = (self.file(extension), handlers.join(format!("{}.{extension}", self.name)));
            if from.is_file() {
                fs::rename(&from, &to).map_err(|error| failed(&to, error))?;
            }
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What stays behind is hidden, and harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn failed(what: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(Code::Failed, format!("{}: {why}", what.display()))
}
