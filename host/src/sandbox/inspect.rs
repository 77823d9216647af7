//! What a file is, what it imports and what it asks for: for whoever wonders whether the host takes it, and why not.

use std::collections::BTreeSet;
use std::path::Path;

use wasmparser::{Instance, KnownCustom, Parser, Payload};

use super::handlers::{Loader, read};
use super::imports::EXPORT;
use super::journal::line;
use super::kinds::{self, Kind};
use super::program::Code;
use super::terms::Terms;
use super::{Access, Import, Manifest, Refusal, adapt, engine, manifest};

/// What `handler check` and `handler inspect` show of a file that may or may not be taken.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// `sha256:…` of the file.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// None where it is nothing that the host could run, or nothing that can be told because it can't be compiled.
    pub kind: Option<HandlerKind>,
    /// Everything it exports; a module's functions alone.
    pub exports: Vec<String>,
    /// Everything it imports.
    pub imports: Vec<Import>,
    /// What a run of it takes. None where that can't be told.
    pub needs: Option<Needs>,
    /// Who made it, as it says itself: sorted, each once, bounded in number.
    pub producers: Vec<Producer>,
    /// Its manifest and the operator's word; none where the manifest can't be read.
    pub terms: Option<Terms>,
    /// Why it would not be taken.
    pub refusal: Option<Refusal>,
}

/// How a file serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// A component of the contract.
    Component,
    /// A core module that exports the contract's `handle`: it is made a component when it is loaded.
    Module,
    /// A component that is a command of WASI 0.2.
    CommandComponent,
    /// A core module that is a command of WASI preview 1.
    CommandModule,
}

/// What one run takes of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Those that the file itself makes. A component within it that is made several times counts once.
    pub core_instances: u32,
    /// Linear memories.
    pub memories: u32,
    /// What the largest memory begins with, in bytes.
    pub initial_memory: u64,
    /// Tables.
    pub tables: u32,
}

impl Needs {
    /// No handler gets more.
    pub const MOST: Needs = Needs {
        core_instances: engine::CORE_INSTANCES,
        memories: engine::MEMORIES,
        initial_memory: engine::MAX_MEMORY as u64,
        tables: engine::TABLES,
    };
}

/// A language, tool or SDK that took part in making a file, as its `producers` sections name it: not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// `Rust`, `wit-component`.
    pub name: String,
    /// May be empty.
    pub version: String,
}

/// So many producers of a file are shown.
const PRODUCERS: usize = 50;

impl Loader {
    /// What the host would make of a file. An error only where it can't be read.
    pub(super) fn inspect(&self, file: &Path) -> Result<Inspection, Refusal> {
        let wasm = read(file)?;
        let manifest = Manifest::beside(file);
        let mut seen = Inspection {
            bytes: wasm.bytes.len() as u64,
            kind: None,
            exports: Vec::new(),
            imports: Vec::new(),
            needs: None,
            producers: producers(&wasm.bytes),
            terms: manifest.as_ref().ok().map(|manifest| self.operator.terms(manifest)),
            refusal: None,
            digest: wasm.digest.clone(),
        };
        match self.compile(file, &wasm) {
            Err(refusal) => seen.refusal = Some(refusal),
            Ok((code, _)) => {
                // A manifest that can't be read grants nothing, and is what the refusal is about.
                let grants = manifest.unwrap_or_default().grants;
                let adapted = match kinds::of(&wasm.bytes) {
                    Kind::Handler(version) => adapt::component(&wasm.bytes, &version).ok(),
                    _ => None,
                };
                seen.exports = code.exports(&self.engine);
                seen.kind = kind(&code, &seen.exports, adapted.is_some());
                seen.imports = code.imports(&self.engine, &grants);
                seen.imports.iter_mut().for_each(|import| import.access = import.access_of(seen.kind));
                seen.needs = code.needs(core_instances(adapted.as_deref().unwrap_or(&wasm.bytes)));
                seen.exports.iter_mut().for_each(|export| *export = line(export));
                seen.refusal = self.file(file, None).err();
            }
        }
        Ok(seen)
    }
}

fn kind(code: &Code, exports: &[String], is_adapted: bool) -> Option<HandlerKind> {
    let exports_one = |start: &str| exports.iter().any(|name| name.starts_with(start));
    match code {
        Code::Component(_) if exports_one(EXPORT.trim_end_matches('0')) => {
            Some(if is_adapted { HandlerKind::Module } else { HandlerKind::Component })
        }
        Code::Component(_) => exports_one("wasi:cli/run@0.2.").then_some(HandlerKind::CommandComponent),
        Code::Module(_) => exports.iter().any(|name| name == "_start").then_some(HandlerKind::CommandModule),
    }
}

/// A module is one instance; a component makes as many as it says.
fn core_instances(wasm: &[u8]) -> u32 {
    let mut made = 0;
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        if let Payload::InstanceSection(section) = payload {
            let instances = section.into_iter().map_while(Result::ok);
            made += instances.filter(|instance| matches!(instance, Instance::Instantiate { .. })).count();
        }
    }
    u32::try_from(made).unwrap_or(u32::MAX).max(1)
}

/// What the file and the modules in it say of their makers; what can't be read is left out.
fn producers(wasm: &[u8]) -> Vec<Producer> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            let producer = |name: &str, version: &str| Producer {
                field: line(field.name),
                name: line(name),
                version: line(version),
            };
            let values = field.values.into_iter().map_while(Result::ok);
            found.extend(values.map(|value| producer(value.name, value.version)));
        }
    }
    found.into_iter().take(PRODUCERS).collect()
}

impl Import {
    /// A command gets its payload and its facts where a handler of the contract finds nothing.
    fn access_of(&self, kind: Option<HandlerKind>) -> Access {
        match self.path() {
            "wasi:cli/stdin" | "wasi:cli/environment" if kind == Some(HandlerKind::CommandComponent) => Access::Granted,
            _ => self.access,
        }
    }

    fn path(&self) -> &str {
        self.interface.split_once('@').map_or(&self.interface, |(path, _)| path)
    }

    /// What under `[grants]` of its manifest would let it work; none where it works, or where nothing would.
    pub fn grant(&self) -> Option<&'static str> {
        let (key, entry) = match self.path() {
            "tasq:handler/producer" => ("enqueue", "enqueue = [\"HANDLER\"]"),
            "tasq:handler/config" => ("config", "config = { NAME = \"VALUE\" }"),
            "tasq:handler/store" => ("store", "store = true"),
            path if path.starts_with("wasi:http/") => ("http", "http = [\"https://HOST\"]"),
            _ => return None,
        };
        (self.access == Access::Inert && manifest::GRANTS.contains(&key)).then_some(entry)
    }

    /// What to change in how the file is built; none where it isn't refused.
    pub fn advice(&self) -> Option<&'static str> {
        if self.access != Access::Refused {
            return None;
        }
        Some(match self.path() {
            path if path.starts_with("tasq:handler/") => "build it for tasq:handler@0.1",
            path if path.starts_with("wasi:http/") => "leave it out (jco: --disable http fetch-event)",
            path if path.starts_with("wasi:") => "build it for WASI 0.2 (wasm32-wasip2), without what that lacks",
            path if path.starts_with("wasi_") => "build it for WASI preview 1 (wasm32-wasip1)",
            path if path.starts_with("env.") => "build it for WASI: Emscripten's and a browser's imports are not there",
            _ => "leave it out: no manifest grants it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(interface: &str, access: Access) -> Import {
        Import { interface: interface.into(), access }
    }

    #[test]
    fn what_a_manifest_can_grant_names_its_line() {
        let producer = |access| import("tasq:handler/producer@0.1.0", access).grant();
        assert_eq!(producer(Access::Inert), Some("enqueue = [\"HANDLER\"]"));
        assert_eq!(producer(Access::Granted), None);
        assert_eq!(import("wasi:sockets/tcp@0.2.6", Access::Inert).grant(), None);
    }

    #[test]
    fn what_is_refused_says_what_to_change() {
        for (interface, want) in [
            ("tasq:handler/log@0.2.0", "tasq:handler@0.1"),
            ("wasi:cli/stdout@0.3.0", "WASI 0.2"),
            ("wasi_unstable.fd_write", "preview 1"),
            ("env.invoke_v", "Emscripten"),
            ("acme:db/query@1.0.0", "leave it out"),
        ] {
            assert!(import(interface, Access::Refused).advice().unwrap().contains(want), "{interface}");
            assert_eq!(import(interface, Access::Granted).advice(), None);
        }
    }

    #[test]
    fn garbage_has_no_producers_and_counts_as_one_instance() {
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\0\x0bproducers\xff\xff"] {
            assert_eq!((producers(bytes), core_instances(bytes)), (Vec::new(), 1));
        }
    }
}
