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
    /// # Safety
    ///
    /// `code` comes from this program's compiler.
    unsafe fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self>;

    /// # Safety
    ///
    /// The file's contents come from this program's compiler, and nobody changes them while it is in use.
    unsafe fn deserialize_file(engine: &Engine, file: &Path) -> wasmtime::Result<Self>;
}

macro_rules! compiled {
    ($what:ty) => {
        impl Compiled for $what {
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

compiled!(Component);
compiled!(Module);

impl Cache {
    /// Makes the folder if it is missing. The error says why it can't be trusted or used.
    pub(super) fn open(folder: &Path) -> Result<Cache, String> {
        let shown = folder.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("{shown}: {error}"))?;
        // A link may name another folder tomorrow.
        let folder = folder.canonicalize().map_err(|error| format!("{shown}: {error}"))?;
        above(&folder)?;
        let found = fs::metadata(&folder).map_err(|error| format!("{shown}: {error}"))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(format!("{shown} belongs to another user"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return Err(format!("{shown} is open to other users: expected mode 0700"));
        }
        Ok(Cache { folder })
    }

    /// What was kept under `name`, which stands for the file's contents and all that made code of them but the engine.
    pub(super) fn kept<T: Compiled>(&self, engine: &Engine, name: &str) -> Option<T> {
        // SAFETY: only this user can write the folder (checked when it was opened), and files get there only below,
        // whole, from this program's own compiler.
        unsafe { T::deserialize_file(engine, &self.file(engine, name)) }.ok()
    }

    /// Keeps what the compiler made under `name`. Where that fails it is compiled again another time.
    pub(super) fn keep(&self, engine: &Engine, name: &str, code: &[u8]) {
        let file = self.file(engine, name);
        if let Err(error) = write(&file, code) {
            tracing::warn!("compiled code is not kept: {}: {error}", file.display());
        }
    }

    fn file(&self, engine: &Engine, name: &str) -> PathBuf {
        let mut compatibility = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        self.folder.join(format!("{name}-{:016x}.cwasm", compatibility.finish()))
    }
}

fn write(file: &Path, code: &[u8]) -> std::io::Result<()> {
    let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::now_v7().simple()));
    let mut out = fs::File::create_new(&temporary)?;
    // Renamed only once it is whole on disk: after a power cut the name holds all of it or nothing.
    let written = out.write_all(code).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Where anyone may rename what is in a folder above, anyone may put another one here.
fn above(folder: &Path) -> Result<(), String> {
    for above in folder.ancestors().skip(1) {
        let mode = fs::metadata(above).map_err(|error| format!("{}: {error}", above.display()))?.permissions().mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(format!("{}: everyone can write to {}", folder.display(), above.display()));
        }
    }
    Ok(())
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
    fn a_folder_below_one_that_everyone_can_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (open, link) = (dir.path().join("open"), dir.path().join("link"));
        let folder = open.join("cache");
        assert!(Cache::open(&folder).is_ok());
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        for (mode, trusted) in [(0o777, false), (0o1777, true), (0o775, true)] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Cache::open(&folder).is_ok(), trusted, "{mode:o}");
            assert_eq!(Cache::open(&link).is_ok(), trusted, "{mode:o}");
        }
    }

    #[test]
    fn compiled_code_is_kept_and_a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let engine = super::super::engine::build(1, false).unwrap().engine;
        let code = engine.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        assert!(cache.kept::<Component>(&engine, "d1").is_none());
        cache.keep(&engine, "d1", &code);
        assert!(cache.kept::<Component>(&engine, "d1").is_some());
        let kept: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        fs::write(&kept[0], b"damaged").unwrap();
        assert!(cache.kept::<Component>(&engine, "d1").is_none());
        cache.keep(&engine, "d1", &code);
        assert!(fs::metadata(&kept[0]).unwrap().len() > 100);
    }
}
