//! `tasq-host handler precompile`: fills the cache of compiled code, for an image that starts at once.

use std::path::PathBuf;

use serde::Serialize;
use tracing::Level;

use super::super::error::{Code, Error};
use super::super::logging::{self, Levels, LogFormat};
use super::super::output;
use super::super::sandbox::{handlers, load_folder, open_to_look, warn_refused};
use crate::config::{CacheFlag, Config, HandlersFlag};
use tasq_host::sandbox::Handler;

/// Compile a folder's handlers into the cache, so that a worker starts at once
///
/// For image builds: the worker has to find the same cache (--cache or TASQ_CACHE_DIR), as the same user, and be the same
/// version on the same sort of CPU; else it compiles anew. Exits with 1 when a file is refused, or can't be kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host handler precompile ./wasm --cache /var/cache/tasq-host")]
pub(crate) struct Args {
    /// The folder of NAME.wasm files [default: --handlers]
    #[arg(value_name = "DIR", conflicts_with = "run.handlers")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    _handlers: HandlersFlag,
    #[command(flatten)]
    _cache: CacheFlag,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A line of `handler precompile --json`.
#[derive(Serialize)]
struct CompiledView<'a> {
    name: &'a str,
    digest: &'a str,
    /// False where it was in the cache before.
    compiled: bool,
}

/// Compiles what the cache doesn't have yet.
pub(crate) fn run(args: &Args, config: &Config) -> Result<(), Error> {
    logging::start(LogFormat::Text, Levels { host: Level::WARN, guests: Level::WARN, stderr: None }, std::io::stderr);
    let folder = args.folder.as_deref().map_or_else(|| handlers(config), Ok)?;
    let Some(cache) = config.cache.as_deref() else {
        return Err(Error::usage("cache: expected a folder, found none").hint("say it with --cache DIR"));
    };
    let sandbox = open_to_look(config, Some(cache.to_owned()))?;
    if let Some(note) = sandbox.notes().iter().find(|note| note.starts_with("compiled code")) {
        return Err(Error::new(Code::Failed, note));
    }
    let loaded = load_folder(&sandbox, folder)?;
    let served = sandbox.handlers();
    let mut compiled: Vec<&Handler> = served.values().map(AsRef::as_ref).collect();
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    compiled.iter().try_for_each(|handler| show(handler, args.json))?;
    if compiled.is_empty() {
        output::note("no handlers");
    }
    loaded.refused.iter().for_each(warn_refused);
    // Looked for again: what the disk didn't take would be compiled a second time by every worker.
    let is_kept = |handler: &&&Handler| {
        let file = folder.join(format!("{}.wasm", handler.name));
        sandbox.load_file(&file).is_ok_and(|again| !again.compiled)
    };
    if compiled.iter().filter(is_kept).count() < compiled.len() {
        return Err(Error::new(Code::Failed, format!("{}: the compiled code could not be kept", cache.display())));
    }
    if loaded.refused.is_empty() { Ok(()) } else { Err(Error::silent(Code::Failed)) }
}

fn show(handler: &Handler, json: bool) -> Result<(), Error> {
    let (name, digest, compiled) = (handler.name.as_str(), &*handler.digest, handler.compiled);
    if json {
        return Ok(output::json(&CompiledView { name, digest, compiled })?);
    }
    let what = if compiled { "compiled" } else { "was there" };
    Ok(output::line(&format!("{name}  {digest}  {what}"))?)
}
