//! Handlers that are replaced while they serve.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A handler that returns its version: four digits.
fn version(number: usize) -> Vec<u8> {
    // Ok at 1024: the list's address and length stand behind the discriminant, aligned to 8.
    let data = format!(r#"(data (i32.const 1032) "\00\08\00\00\04\00\00\00") (data (i32.const 2048) "{number:04}")"#);
    handler(&Core { other: &data, ..Core::default() })
}

#[test]
fn a_thousand_replacements_under_load_fail_no_run() {
    const VERSIONS: usize = 1_000;
    let (folder, sandbox) = (Folder::new(), Arc::new(sandbox()));
    folder.put("served.wasm", version(0));
    folder.load(&sandbox);
    // The version that is served for certain, and whether it goes on.
    let (loaded, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let runners: Vec<_> = (0..2)
        .map(|_| {
            let (sandbox, loaded, runs) = (sandbox.clone(), loaded.clone(), runs.clone());
            runtime.spawn(async move {
                while loaded.load(Ordering::SeqCst) < VERSIONS {
                    let before = loaded.load(Ordering::SeqCst);
                    let handler = sandbox.handlers()[&"served".parse::<Name>().unwrap()].clone();
                    let call = call(&handler, "payload");
                    let (outcome, _) = sandbox.run(&handler, call, Stop::new()).await;
                    let Outcome::Done(result) = outcome else { panic!("{outcome:?} at version {before}") };
                    let ran: usize = std::str::from_utf8(&result).unwrap().parse().unwrap();
                    assert!(ran >= before, "version {ran} began although {before} had taken its place");
                    runs.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for number in 1..=VERSIONS {
        // Renamed into place, as whoever ships code should; a tenth of them is broken, half of those in the middle.
        let whole = version(number);
        let broken = number % 10 == 0 && number < VERSIONS;
        let shipped =
            if broken { &whole[..whole.len() / (1 + number / 10 % 2)][..whole.len() / 2] } else { &whole[..] };
        folder.put("served.part", shipped);
        fs::rename(folder.path("served.part"), folder.path("served.wasm")).unwrap();
        let result = folder.load(&sandbox);
        assert_eq!((result.refused.len(), result.changed.len()), (usize::from(broken), usize::from(!broken)));
        if !broken {
            loaded.store(number, Ordering::SeqCst);
        }
    }
    for runner in runners {
        runtime.block_on(async { tokio::time::timeout(PATIENCE, runner).await }).unwrap().expect("no run fails");
    }
    let runs = runs.load(Ordering::SeqCst);
    println!("{runs} runs beside {VERSIONS} replacements");
    assert!(runs > 0);
}

#[test]
fn what_is_written_in_place_and_half_done_leaves_the_old_version() {
    let (folder, sandbox) = (Folder::new(), sandbox());
    folder.put("served.wasm", version(1));
    folder.load(&sandbox);
    let old = sandbox.handlers()[&"served".parse::<Name>().unwrap()].digest.clone();
    let new = version(2);
    for length in [0, 4, 8, new.len() / 2, new.len() - 1] {
        folder.put("served.wasm", &new[..length]);
        assert_eq!(folder.load(&sandbox).refused.len(), 1, "{length} bytes");
        assert_eq!(sandbox.handlers()[&"served".parse::<Name>().unwrap()].digest, old);
    }
    folder.put("served.wasm", new);
    assert!(folder.load(&sandbox).refused.is_empty());
    assert_ne!(sandbox.handlers()[&"served".parse::<Name>().unwrap()].digest, old);
    fs::remove_file(folder.path("served.wasm")).unwrap();
    folder.load(&sandbox);
    assert_eq!(sandbox.handlers().len(), 1, "what is gone serves no more");
}
