//! From a core module that exports the contract's `handle` to a component, as `wasm-tools component new` would do it: C,
//! Zig, Go and AssemblyScript stop at the module, and their users need no further tool.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Once};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, for modules that don't say themselves what they were made for.
const CONTRACT: &str = include_str!("../../../wit/handler.wit");
const VERSION: &str = "@0.1.0;";
const WORLD: &str = "task-handler";

/// Why a module can't be made a component.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// In one line.
    pub(super) reason: String,
    /// What to do about it.
    pub(super) hint: &'static str,
}

const EXPORTS: &str = "a module needs the contract's exports by their canonical names: \
                       `tasq:handler/handler@0.1.0#handle`, `cabi_realloc` and `memory`";
const IMPORTS: &str = "build for WASI (wasm32-wasip1, --target=wasm32-wasi) or for no system at all; \
                       Emscripten's and a browser's imports are not there";

/// Tells what is made from the same module by another adapter or contract apart, for the cache.
pub(super) fn mark() -> u64 {
    static MARK: LazyLock<u64> = LazyLock::new(|| {
        let mut mark = DefaultHasher::new();
        (ADAPTER, CONTRACT, env!("CARGO_PKG_VERSION")).hash(&mut mark);
        mark.finish()
    });
    *MARK
}

/// A component that does what `module` does. `version` is that of the contract's that its export names; `module` is valid.
pub(super) fn component(module: &[u8], version: &str) -> Result<Vec<u8>, Misfit> {
    // A file decides what is read here, and wit-component is written for a toolchain's own: it asserts some of what it finds.
    let made = quietly(|| encode(module, version));
    made.unwrap_or_else(|_| Err(misfit("its metadata makes no sense", EXPORTS)))
}

/// A panic in `work` is a value, and nothing is said of it on stderr. Panics of other threads are none of its business.
fn quietly<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    thread_local! { static IS_QUIET: Cell<bool> = const { Cell::new(false) } }
    static HOOK: Once = Once::new();
    // The hook is the process's, so it is wrapped once and for all instead of swapped under other threads' feet.
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            if !IS_QUIET.get() {
                before(what);
            }
        }));
    });
    IS_QUIET.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(false);
    done
}

fn encode(module: &[u8], version: &str) -> Result<Vec<u8>, Misfit> {
    let Found { imports, is_described } = look(module);
    let mut described = module.to_vec();
    if !is_described {
        let strange: Vec<&str> =
            imports.iter().map(String::as_str).filter(|name| !is_ours(name) && *name != PREVIEW1).collect();
        if !strange.is_empty() {
            return Err(misfit(format!("imports what no handler gets: {}", strange.join(", ")), IMPORTS));
        }
        describe(&mut described, version).map_err(|error| misfit(one_line(&error), EXPORTS))?;
    }
    let encoded = ComponentEncoder::default().module(&described).and_then(|encoder| {
        let needs_adapter = imports.contains(PREVIEW1);
        let mut encoder = if needs_adapter { encoder.adapter(PREVIEW1, ADAPTER)? } else { encoder };
        encoder.encode()
    });
    encoded.map_err(|error| misfit(one_line(&error), EXPORTS))
}

/// Says in the module what it was made for. The host meets any patch of its contract's version.
fn describe(module: &mut Vec<u8>, version: &str) -> anyhow::Result<()> {
    let contract = CONTRACT.replacen(VERSION, &format!("@{version};"), 1);
    let mut resolve = Resolve::default();
    let package = resolve.push_source("handler.wit", &contract)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

struct Found {
    /// The modules that it imports from.
    imports: BTreeSet<String>,
    /// It says itself what it was made for.
    is_described: bool,
}

fn look(module: &[u8]) -> Found {
    let mut found = Found { imports: BTreeSet::new(), is_described: false };
    for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.into_imports().map_while(Result::ok);
                found.imports.extend(imports.map(|import| import.module.to_owned()));
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                found.is_described = true;
            }
            _ => {}
        }
    }
    found
}

fn is_ours(module: &str) -> bool {
    module.starts_with("tasq:handler/")
}

fn misfit(reason: impl Into<String>, hint: &'static str) -> Misfit {
    Misfit { reason: reason.into(), hint }
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_the_version_that_is_replaced() {
        assert_eq!(CONTRACT.matches(VERSION).count(), 1);
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        describe(&mut module, "0.1.7").unwrap();
        assert!(look(&module).is_described);
        assert!(String::from_utf8_lossy(&module).contains("tasq:handler/log@0.1.7"));
    }

    #[test]
    fn metadata_that_makes_no_sense_is_an_error() {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([0, 18, 14]);
        module.extend(b"component-type\x01\x02\x03");
        assert!(component(&module, "0.1.0").is_err());
    }

    #[test]
    fn a_panic_inside_is_a_value_of_which_nothing_is_said() {
        const NAME: &str = "sandbox::adapt::tests::a_panic_inside_is_a_value_of_which_nothing_is_said";
        if std::env::var_os("PANICS").is_some() {
            assert!(quietly(|| panic!("unheard")).is_err());
            assert!(std::thread::spawn(|| panic!("aloud")).join().is_err());
            return;
        }
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let said = alone.args(["--exact", NAME, "--nocapture"]).env("PANICS", "yes").output().unwrap();
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("1 passed"), "{stderr}");
        assert!(!stderr.contains("unheard") && stderr.contains("aloud"), "{stderr}");
    }
}
