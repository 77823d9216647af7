//! A worker's start with many handlers that were compiled before.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use tasq_tests::guests::guest;

use super::*;

/// In files, by name and time of writing.
fn seen(cache: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let files = fs::read_dir(cache).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn a_hundred_rust_components_start_without_compiling_any() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = home.path().join("cache");
    for number in 0..100 {
        let component = noted(&guest("noop"), &format!("the {number}th"));
        fs::write(folder.path().join(format!("noop{number}.wasm")), component).unwrap();
    }
    let mut times = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let sandbox = Arc::new(with_cache(Some(cache.clone())));
        let began = Instant::now();
        let loaded = sandbox.load_folder(folder.path()).unwrap();
        times.push(began.elapsed());
        assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
        assert_eq!(sandbox.handlers().len(), 100);
        kept.push(seen(&cache));
        let last = sandbox.handlers()[&"noop99".parse::<Name>().unwrap()].clone();
        assert_eq!(run_once(&sandbox, last).0, Outcome::Done("".into()));
    }
    println!("100 components: compiled in {:?}, loaded in {:?}", times[0], times[1]);
    assert_eq!(kept[0].len(), 100);
    assert_eq!(kept[0], kept[1], "the second load compiled something");
    assert!(times[1] < times[0], "{times:?}");
    assert!(times[1] < Duration::from_secs(5), "{times:?}");
}
