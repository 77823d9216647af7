//! What every command that opens a sandbox can be told about it.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::ValueEnum;
use tasq_host::sandbox::compile::{Apart, Compiler};
use tasq_host::sandbox::{Loaded, Options, Permissions, Refusal, Sandbox};

use super::error::{Code, Error};
use super::output;
use crate::config::Config;

/// How the sandbox is set up.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub(crate) struct SandboxArgs {
    /// Memory that all runs together may use, such as 2GiB [default: 70 % of the container's or machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_budget: Option<ByteSize>,
    /// Resetting memory by PAGEMAP_SCAN, which is quicker: where it is safe, or never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = PagemapScan::Auto)]
    pagemap_scan: PagemapScan,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Where compiled handlers are kept.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CacheArgs {
    /// Folder for compiled handlers [env: TASQ_CACHE_DIR] [default: tasq-host in the user's cache]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Compile handlers anew each time
    #[arg(long)]
    no_cache: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PagemapScan {
    Auto,
    Off,
}

fn size(text: &str) -> Result<ByteSize, String> {
    let size = text.parse::<ByteSize>().ok().filter(|size| size.as_u64() > 0);
    size.ok_or_else(|| "expected a size such as 512MiB or 2GiB".into())
}

impl SandboxArgs {
    /// A sandbox with room for `slots` runs at once.
    pub(crate) fn open(&self, config: &Config, slots: usize, permissions: Permissions) -> Result<Sandbox, Error> {
        open(self.options(config, slots), permissions)
    }

    fn options(&self, config: &Config, slots: usize) -> Options {
        let pagemap_scan = self.pagemap_scan == PagemapScan::Auto;
        let memory_budget = self.memory_budget.map(|size| size.as_u64());
        Options { slots, pagemap_scan, cache: self.cache.folder(config), memory_budget }
    }
}

impl CacheArgs {
    /// A sandbox that only looks at handlers.
    pub(crate) fn open(&self, config: &Config) -> Result<Sandbox, Error> {
        let options = Options { slots: 1, pagemap_scan: true, cache: self.folder(config), memory_budget: None };
        open(options, Permissions { secrets: None, http: None })
    }

    fn folder(&self, config: &Config) -> Option<PathBuf> {
        self.cache.clone().or_else(|| config.cache.clone()).filter(|_| !self.no_cache)
    }
}

fn open(options: Options, permissions: Permissions) -> Result<Sandbox, Error> {
    // Not by its name: an update may have put another version there, or nothing.
    let compiler = Compiler::Apart(Apart::new("/proc/self/exe".into()));
    let opened = Sandbox::with(options, permissions, compiler);
    opened.map_err(|error| Error::new(Code::Failed, format!("the sandbox can't be set up: {error:#}")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::PathBuf;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        sandbox: SandboxArgs,
    }

    fn options(arguments: &[&str]) -> Options {
        let broker = "sqlite:x".parse().unwrap();
        let config = Config { broker, results: None, cache: Some("/home/.cache/tasq-host".into()) };
        let typed = Typed::try_parse_from([&["x"], arguments].concat()).unwrap();
        typed.sandbox.options(&config, 3)
    }

    #[test]
    fn flags_decide_over_the_cache_and_the_budget() {
        assert_eq!(options(&[]).cache, Some(PathBuf::from("/home/.cache/tasq-host")));
        assert_eq!(options(&["--cache", "/c"]).cache, Some(PathBuf::from("/c")));
        assert_eq!(options(&["--no-cache"]).cache, None);
        assert_eq!(options(&["--memory-budget", "2GiB"]).memory_budget, Some(2 << 30));
        assert!(options(&[]).pagemap_scan && !options(&["--pagemap-scan", "off"]).pagemap_scan);
        assert_eq!(options(&[]).slots, 3);
    }

    #[test]
    fn a_size_is_more_than_nothing() {
        assert!(size("0").is_err() && size("x").is_err() && size("-1").is_err() && size("1").is_ok());
    }
}
