//! What every command that opens a sandbox can be told about it.

use std::path::{Path, PathBuf};

use tasq_host::sandbox::compile::{Apart, Compiler};
use tasq_host::sandbox::secrets::Secrets;
use tasq_host::sandbox::{Loaded, Options, Refusal, Sandbox};

use super::error::{Code, Error};
use super::output;
use crate::config::{CacheFlag, Config, SandboxFlags};

/// How the sandbox is set up.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub(crate) struct SandboxArgs {
    #[command(flatten)]
    _flags: SandboxFlags,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Where compiled handlers are kept.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CacheArgs {
    #[command(flatten)]
    _flag: CacheFlag,
    /// Compile handlers anew each time
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl SandboxArgs {
    /// A sandbox with room for `slots` runs at once.
    pub(crate) fn open(&self, config: &Config, slots: usize, secrets: Secrets) -> Result<Sandbox, Error> {
        open(config, self.options(config, slots), Some(secrets))
    }

    fn options(&self, config: &Config, slots: usize) -> Options {
        let memory_budget = config.memory_budget.map(|size| size.as_u64());
        Options { slots, pagemap_scan: config.pagemap_scan, cache: self.cache.folder(config), memory_budget }
    }
}

impl CacheArgs {
    /// A sandbox that only looks at handlers.
    pub(crate) fn open(&self, config: &Config) -> Result<Sandbox, Error> {
        open_to_look(config, self.folder(config))
    }

    fn folder(&self, config: &Config) -> Option<PathBuf> {
        config.cache.clone().filter(|_| !self.no_cache)
    }
}

/// A sandbox that only looks at handlers, and keeps what it compiles in `cache`.
pub(crate) fn open_to_look(config: &Config, cache: Option<PathBuf>) -> Result<Sandbox, Error> {
    open(config, Options { slots: 1, pagemap_scan: true, cache, memory_budget: None }, None)
}

fn open(config: &Config, options: Options, secrets: Option<Secrets>) -> Result<Sandbox, Error> {
    // Not by its name: an update may have put another version there, or nothing.
    let compiler = Compiler::Apart(Apart { tell: tell_of_compiling, ..Apart::new("/proc/self/exe".into()) });
    let opened = Sandbox::with(options, config.operator.clone(), secrets, compiler);
    opened.map_err(|error| Error::new(Code::Failed, format!("the sandbox can't be set up: {error:#}")))
}

/// A worker logs it; who else waits for a handler sees it as well.
fn tell_of_compiling(line: &str) {
    let line = output::one_line(line);
    if tracing::enabled!(tracing::Level::INFO) { tracing::info!("{line}") } else { output::note(&line) }
}

/// The folder of handlers, whoever named it.
pub(crate) fn handlers(config: &Config) -> Result<&Path, Error> {
    config.worker.handlers.as_deref().ok_or_else(|| {
        Error::usage("handlers: expected a folder, found none")
            .hint("say it with --handlers DIR, TASQ_HANDLERS, or `handlers` under [run] in tasq.toml")
    })
}

/// Serves what is in `folder`; a folder that can't be read is a mistake in the configuration.
pub(crate) fn load_folder(sandbox: &Sandbox, folder: &Path) -> Result<Loaded, Error> {
    let shown = folder.display();
    let wrong = |found: String| Error::usage(format!("handlers {shown}: expected a folder, found {found}"));
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(wrong("a file".into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(wrong("nothing".into())),
        Err(error) => return Err(wrong(format!("one that can't be looked at: {error}"))),
    }
    sandbox.load_folder(folder).map_err(|error| wrong(format!("one that can't be read: {error}")))
}

/// Says why a file isn't served.
pub(crate) fn warn_refused(refusal: &Refusal) {
    output::warn(&format!("{refusal}; not served"));
    if let Some(hint) = &refusal.hint {
        output::note(&format!("\nhint: {}\n", output::one_line(hint)));
    }
}
