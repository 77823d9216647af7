//! Compiled code on disk, by the component's digest and the engine that compiled it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// A folder that only this user can write: what is in it is run as machine code.
pub(super) struct Cache {
    folder: PathBuf,
}

/// What the cache can keep: components and core modules.
pub(super) trait Compiled: Sized {
    fn new(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>>;

    /// # Safety
    ///
    /// `code` comes from [`Compiled::compile`].
    unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self>;

    /// # Safety
    ///
    /// The file's contents come from [`Compiled::compile`], and nobody changes them while it is in use.
    unsafe fn deserialize_file(engine: &Engine, file: &Path) -> wasmtime::Result<Self>;
}

macro_rules! compiled {
    ($what:ty, $compile:ident) => {
        impl Compiled for $what {
            fn new(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
                <$what>::new(engine, wasm)
            }

            fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
                engine.$compile(wasm)
            }

            unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the caller's promise.
                unsafe { <$what>::deserialize(engine, code) }
            }

            unsafe fn deserialize_file(engine: &Engine, file: &Path) -> wasmtime::Result<Self> {
                // SAFETY: the caller's promise.
                unsafe { <$what>::deserialize_file(engine, file) }
            }
        }
    };
}

compiled!(Component, precompile_component);
compiled!(Module, precompile_module);

impl Cache {
    /// Makes the folder if it is missing. The error says why it can't be trusted or used.
    pub(super) fn open(folder: &Path) -> Result<Cache, String> {
        let shown = folder.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("{shown}: {error}"))?;
        let found = fs::metadata(folder).map_err(|error| format!("{shown}: {error}"))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!("{shown} belongs to another user"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return Err(format!("{shown} is open to other users: expected mode 0700"));
        }
        Ok(Cache { folder: folder.to_owned() })
    }

    /// What was kept under `name`, which stands for the file's contents and all that made code of them but the engine.
    pub(super) fn kept<T: Compiled>(&self, engine: &Engine, name: &str) -> Option<T> {
        // SAFETY: only this user can write the folder (checked when it was opened), and files get there only below,
        // whole, from this program's own compiler.
        unsafe { T::deserialize_file(engine, &self.file(engine, name)) }.ok()
    }

    /// Compiles `wasm` and keeps it under `name`.
    pub(super) fn compile<T: Compiled>(&self, engine: &Engine, name: &str, wasm: &[u8]) -> wasmtime::Result<T> {
        let code = T::compile(engine, wasm)?;
        let file = self.file(engine, name);
        if let Err(error) = self.keep(&file, &code) {
            tracing::warn!("compiled code is not kept: {}: {error}", file.display());
        }
        // SAFETY: it comes from the compiler just now.
        unsafe { T::deserialize(engine, &code) }
    }

    fn file(&self, engine: &Engine, name: &str) -> PathBuf {
        let mut compatibility = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        self.folder.join(format!("{name}-{:016x}.cwasm", compatibility.finish()))
    }

    fn keep(&self, file: &Path, code: &[u8]) -> std::io::Result<()> {
        let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::now_v7().simple()));
        let mut out = fs::File::create_new(&temporary)?;
        // Renamed only once it is whole on disk: after a power cut the name holds all of it or nothing.
        let written = out.write_all(code).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&temporary, file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        assert!(Cache::open(&folder).is_ok());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&folder).err().unwrap().contains("expected mode 0700"));
    }

    #[test]
    fn compiled_code_is_kept_and_a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (engine, _) = super::super::engine::build(1, false).unwrap();
        let wasm = b"\0asm\x0d\0\x01\0";
        assert!(cache.kept::<Component>(&engine, "d1").is_none());
        cache.compile::<Component>(&engine, "d1", wasm).unwrap();
        assert!(cache.kept::<Component>(&engine, "d1").is_some());
        let kept: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        fs::write(&kept[0], b"damaged").unwrap();
        assert!(cache.kept::<Component>(&engine, "d1").is_none());
        cache.compile::<Component>(&engine, "d1", wasm).unwrap();
        assert!(fs::metadata(&kept[0]).unwrap().len() > 100);
    }
}
