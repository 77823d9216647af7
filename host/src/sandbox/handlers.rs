//! From a file to a handler: what is read, checked, compiled and linked before anything may run.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytesize::ByteSize;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::adapt;
use super::cache::{Cache, Compiled};
use super::call::MESSAGE;
use super::ceilings::Operator;
use super::compile::{Bad, Job, Press, What};
use super::http::{self, Gateway, Reach, Rule};
use super::kinds::{self, Kind};
use super::output::printable;
use super::program::{Code, Linkers};
use super::secrets::Secrets;
use super::{Handler, Loaded, MEMORY, Manifest, Refusal};
use crate::clock::{Clock, System};
use crate::task::{Name, truncate};

/// Larger files are refused unread.
const LARGEST: u64 = 64 << 20;

/// Turns files into handlers.
pub(super) struct Loader {
    pub(super) engine: Engine,
    pub(super) linkers: Linkers,
    pub(super) cache: Option<Cache>,
    pub(super) operator: Operator,
    pub(super) press: Press,
    pub(super) gateway: Arc<Gateway>,
    /// None where handlers are only looked at.
    pub(super) secrets: Option<Secrets>,
    pub(super) ceiling: Option<Arc<[Rule]>>,
}

/// A file's bytes and name.
pub(super) struct Wasm {
    pub(super) bytes: Vec<u8>,
    /// `sha256:…`
    pub(super) digest: String,
}

impl Loader {
    /// What `folder` serves: `old` with every change in it applied. A file that isn't taken leaves its older version.
    pub(super) fn folder(
        &self,
        folder: &Path,
        old: &HashMap<Name, Arc<Handler>>,
    ) -> io::Result<(HashMap<Name, Arc<Handler>>, Loaded)> {
        let (mut served, mut loaded) = (HashMap::new(), Loaded::default());
        let root = folder.canonicalize()?;
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.sort();
        let stems: BTreeSet<PathBuf> =
            files.iter().filter(|file| has_extension(file, "wasm")).map(|file| file.with_extension("")).collect();
        for file in &files {
            if has_extension(file, "toml") && !stems.contains(&file.with_extension("")) {
                let reason = format!("a manifest without a handler: expected {} beside it", shown_as(file, "wasm"));
                loaded.refused.push(Refusal { file: file.clone(), reason, hint: None });
            }
            if !has_extension(file, "wasm") {
                continue;
            }
            let before = name_of(file).ok().and_then(|name| old.get(&name));
            match self.file_in(&root, file, before) {
                Ok(handler) => {
                    if before.is_none_or(|before| !Arc::ptr_eq(before, &handler)) {
                        loaded.changed.push(handler.name.clone());
                    }
                    served.insert(handler.name.clone(), handler);
                }
                Err(refusal) => {
                    if let Some(before) = before {
                        served.insert(before.name.clone(), before.clone());
                    }
                    loaded.refused.push(refusal);
                }
            }
        }
        Ok((served, loaded))
    }

    fn file_in(&self, root: &Path, file: &Path, before: Option<&Arc<Handler>>) -> Result<Arc<Handler>, Refusal> {
        inside(root, file)?;
        let manifest = file.with_extension("toml");
        if fs::symlink_metadata(&manifest).is_ok() {
            inside(root, &manifest)?;
        }
        self.file(file, before)
    }

    /// One file with its manifest. `before` is answered where nothing has changed.
    pub(super) fn file(&self, file: &Path, before: Option<&Arc<Handler>>) -> Result<Arc<Handler>, Refusal> {
        let name = name_of(file)?;
        let wasm = read(file)?;
        let manifest = self.operator.settle(Manifest::beside(file)?);
        let manifest = manifest.map_err(|reason| refuse(&file.with_extension("toml"), reason))?;
        if let Some(before) = before.filter(|before| *before.digest == *wasm.digest && before.manifest == manifest) {
            return Ok(before.clone());
        }
        if let Some(expected) = manifest.digest.as_ref().filter(|expected| **expected != wasm.digest) {
            let reason = format!("its manifest expects {expected}, found {}", wasm.digest);
            let hint = "put the file back that the manifest names, or change its `digest`".to_owned();
            return Err(Refusal { hint: Some(hint), ..refuse(file, reason) });
        }
        let (code, compiled) = self.compile(file, &wasm)?;
        let program = self.linkers.link(&self.engine, file, &code)?;
        check_memory(file, &code, &manifest)?;
        let secrets = self.secrets(file, &manifest)?;
        let reach = self.reach(file, &manifest, &secrets)?;
        Ok(Arc::new(Handler {
            name,
            digest: wasm.digest.into(),
            manifest,
            compiled,
            since: System.now(),
            running: AtomicUsize::new(0),
            program,
            secrets,
            reach,
        }))
    }

    fn secrets(&self, file: &Path, manifest: &Manifest) -> Result<Secrets, Refusal> {
        let Some(named) = &self.secrets else { return Ok(Secrets::default()) };
        named.only(manifest.grants.secrets()).map_err(|missing| {
            let hint = format!("start the worker with --secret {missing}, if this handler may use it");
            let manifest = file.with_extension("toml");
            Refusal {
                hint: Some(hint),
                ..refuse(&manifest, format!("asks for the secret {missing}, which wasn't given"))
            }
        })
    }

    /// None where nothing is granted.
    fn reach(&self, file: &Path, manifest: &Manifest, secrets: &Secrets) -> Result<Option<Arc<Reach>>, Refusal> {
        let rules = manifest.grants.http.clone();
        if rules.is_empty() {
            return Ok(None);
        }
        let tls = rules.iter().any(Rule::is_https).then(http::tls).transpose().map_err(|why| {
            let hint = "install ca-certificates, or name a file of them in SSL_CERT_FILE".to_owned();
            Refusal { hint: Some(hint), ..refuse(file, format!("its manifest grants https, but {why}")) }
        })?;
        let (secrets, gateway, ceiling) = (secrets.clone(), self.gateway.clone(), self.ceiling.clone());
        Ok(Some(Arc::new(Reach { rules, ceiling, secrets, gateway, tls })))
    }

    /// The code, and whether it was compiled just now.
    pub(super) fn compile(&self, file: &Path, wasm: &Wasm) -> Result<(Code, bool), Refusal> {
        let name = wasm.digest.trim_start_matches("sha256:").to_owned();
        let job = |what, name| Job { what, name, file, wasm: &wasm.bytes };
        let component = |(code, new)| (Code::Component(code), new);
        match kinds::of(&wasm.bytes) {
            Kind::Other { found, hint } => {
                let reason = format!("not a WebAssembly component or module: {found}");
                Err(Refusal { hint, ..refuse(file, reason) })
            }
            Kind::Component => self.compiled(file, &job(What::Component, name)).map(component),
            Kind::Module => self.compiled(file, &job(What::Module, name)).map(|(code, new)| (Code::Module(code), new)),
            Kind::Handler(version) => {
                let name = format!("{name}-{:016x}", adapt::mark());
                self.compiled(file, &job(What::Handler(version), name)).map(component)
            }
        }
    }

    /// What the cache has, else, new, what the compiler makes of it.
    fn compiled<T: Compiled>(&self, file: &Path, job: &Job<'_>) -> Result<(T, bool), Refusal> {
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.kept(&self.engine, &job.name)) {
            return Ok((kept, false));
        }
        let refused = |Bad { reason, hint }| Refusal { hint, ..refuse(file, reason) };
        let code = self.press.code(&self.engine, job).map_err(refused)?;
        // SAFETY: it comes from the compiler just now.
        let compiled = unsafe { T::deserialize(&self.engine, &code) }.map_err(|error| {
            let what = if job.what == What::Component { "component" } else { "module" };
            refuse(file, format!("not a valid {what}: {}", one_line(&error)))
        })?;
        if let Some(cache) = &self.cache {
            cache.keep(&self.engine, &job.name, &code);
        }
        Ok((compiled, true))
    }
}

/// Kubernetes mounts are links inside the folder; a link out of it could name any file of the machine.
fn inside(root: &Path, file: &Path) -> Result<(), Refusal> {
    let real = file.canonicalize().map_err(|error| refuse(file, format!("can't be read: {error}")))?;
    if real.starts_with(root) {
        return Ok(());
    }
    let reason = format!("links out of the folder, to {}", real.display());
    Err(Refusal { hint: Some("copy the file into the folder".into()), ..refuse(file, reason) })
}

/// What is wrong may quote the file, which anyone may have written: it becomes one printable line.
pub(super) fn refuse(file: &Path, reason: String) -> Refusal {
    let mut reason = printable(&reason).replace(['\n', '\t'], " ");
    truncate(&mut reason, MESSAGE);
    Refusal { file: file.to_owned(), reason, hint: None }
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

fn shown_as(file: &Path, extension: &str) -> String {
    file.with_extension(extension).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn name_of(file: &Path) -> Result<Name, Refusal> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(|error| {
        let hint = "the file's name without .wasm is the handler's name: rename it".to_owned();
        Refusal { hint: Some(hint), ..refuse(file, format!("{error}")) }
    })
}

pub(super) fn read(file: &Path) -> Result<Wasm, Refusal> {
    let bytes = contents(file, LARGEST).map_err(|reason| refuse(file, reason))?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Wasm { bytes, digest: format!("sha256:{digest}") })
}

/// All of a file at one moment, or why not: what is compiled is what was digested, whatever replaces the file meanwhile.
/// Never waits, and never reads more than `largest` bytes.
pub(super) fn contents(file: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("can't be read: {error}");
    // Not blocking, because opening a pipe would wait for its writer; to a regular file it means nothing.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(file).map_err(unreadable)?;
    let found = opened.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err("not a regular file".into());
    }
    if found.len() > largest {
        return Err(format!("{} bytes: expected at most {largest}", found.len()));
    }
    let mut bytes = Vec::new();
    // One byte more would be too many: the file has grown since.
    opened.take(largest + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > largest {
        return Err(format!("more than {largest} bytes"));
    }
    Ok(bytes)
}

/// A program whose memory is too large from the start would fail at each run.
fn check_memory(file: &Path, code: &Code, manifest: &Manifest) -> Result<(), Refusal> {
    let initial = code.initial_memory();
    let limit = manifest.memory.unwrap_or(ByteSize::b(MEMORY));
    if initial <= limit.as_u64() {
        return Ok(());
    }
    let initial = ByteSize::b(initial);
    Err(refuse(file, format!("begins with {initial} of memory: expected at most its limit of {limit}")))
}

/// An error and its causes, on one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
