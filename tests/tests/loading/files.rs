//! Files that are no handlers: each is refused with one clear line, and the others are served all the same.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use tasq_tests::guests::guest;

use super::*;

#[test]
fn what_is_no_component_is_refused_by_what_it_is() {
    let whole = fs::read(guest("noop")).unwrap();
    let noise: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for (bytes, want) in [
        (noise, "not a WebAssembly component or module: found other data"),
        (Vec::new(), "not a WebAssembly component or module: the file is empty"),
        (b"hello\n".to_vec(), "not a WebAssembly component or module: found text"),
        (b"(component)".to_vec(), "not a WebAssembly component or module: found WebAssembly text"),
        (whole[..8].to_vec(), "expected an export tasq:handler/handler@0.1.0 or wasi:cli/run@0.2, found nothing"),
        (whole[..whole.len() / 2].to_vec(), "not a valid component: "),
        (whole[..whole.len() - 1].to_vec(), "not a valid component: "),
        (
            wat::parse_str("(module)").unwrap(),
            "a core module: expected an export tasq:handler/handler@0.1.0#handle or _start, found no function",
        ),
        (
            b"\0asm\x0e\0\x01\0".to_vec(),
            "not a WebAssembly component or module: found an unknown version of WebAssembly",
        ),
    ] {
        let folder = Folder::new();
        folder.put("bad.wasm", bytes);
        let refusal = folder.refused();
        assert!(refusal.reason.starts_with(want), "{want}: {refusal}");
    }
}

#[test]
fn compiled_code_is_refused_although_the_engine_made_it() {
    let (folder, cache) = (Folder::new(), tempfile::tempdir().unwrap());
    let private = cache.path().join("private");
    with_cache(Some(private.clone())).load_file(&folder.path("good.wasm")).unwrap();
    let compiled = fs::read_dir(private).unwrap().next().unwrap().unwrap().path();
    folder.put("bad.wasm", fs::read(compiled).unwrap());
    let refusal = folder.refused();
    assert_eq!(refusal.reason, "not a WebAssembly component or module: found machine code");
    assert!(refusal.hint.unwrap().contains("put the .wasm there"));
}

#[test]
fn a_file_larger_than_64_mib_is_refused_unread() {
    let folder = Folder::new();
    File::create(folder.path("bad.wasm")).unwrap().set_len(200 << 20).unwrap();
    assert_eq!(folder.refused().reason, "209715200 bytes: expected at most 67108864");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.path("bad.wasm")).unwrap();
    assert_eq!(folder.refused().reason, "not a regular file");
    let folder = Folder::new();
    symlink("nowhere", folder.path("bad.wasm")).unwrap();
    assert_eq!(folder.refused().reason, "can't be read: No such file or directory (os error 2)");
    let folder = Folder::new();
    symlink("bad.wasm", folder.path("bad.wasm")).unwrap();
    assert!(folder.refused().reason.starts_with("can't be read: Too many levels of symbolic links"));
}

#[test]
fn a_name_that_no_task_can_have_is_refused() {
    let folder = Folder::new();
    folder.put("Bad Name\n.wasm", handler(&Core::default()));
    let (sandbox, loaded) = (sandbox(), folder.load(&sandbox()));
    let refusal = &loaded.refused[0];
    assert_eq!(refusal.reason, r#"name "Bad Name\n": expected [a-z0-9][a-z0-9_-]{0,63}"#);
    folder.load(&sandbox);
    assert_eq!(sandbox.handlers().len(), 1);
}

#[test]
fn a_pipe_is_refused_at_once_as_a_handler_and_as_a_manifest() {
    for pipe in ["bad.wasm", "bad.toml"] {
        let folder = Folder::new();
        if pipe == "bad.toml" {
            folder.put("bad.wasm", handler(&Core::default()));
        }
        assert!(Command::new("mkfifo").arg(folder.path(pipe)).status().unwrap().success());
        let (answer, answered) = mpsc::channel();
        // On a thread of its own: a pipe that is opened waits for ever.
        std::thread::spawn(move || answer.send(folder.refused()));
        let refusal = answered.recv_timeout(PATIENCE).expect("nobody waits for a writer");
        assert_eq!((refusal.reason.as_str(), refusal.file.ends_with(pipe)), ("not a regular file", true));
    }
}

#[test]
fn links_are_followed_inside_the_folder_and_not_out_of_it() {
    // As Kubernetes mounts it: the name links to a name in a folder that is itself a link, and is swapped.
    let folder = Folder::new();
    fs::create_dir(folder.path("..v1")).unwrap();
    fs::write(folder.path("..v1/linked.wasm"), handler(&Core::default())).unwrap();
    symlink("..v1", folder.path("..data")).unwrap();
    symlink("..data/linked.wasm", folder.path("linked.wasm")).unwrap();
    let sandbox = sandbox();
    assert!(folder.load(&sandbox).refused.is_empty());
    assert_eq!(sandbox.handlers().len(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    for (file, name) in [("x.wasm", "out.wasm"), ("good.toml", "good.toml")] {
        let folder = Folder::new();
        let target = elsewhere.path().join(file);
        fs::write(&target, if name == "out.wasm" { handler(&Core::default()) } else { Vec::new() }).unwrap();
        symlink(&target, folder.path(name)).unwrap();
        let refusal = refused_in(&folder);
        assert!(refusal.reason.starts_with("links out of the folder, to /"), "{refusal}");
        assert_eq!(refusal.file, folder.path(name));
    }
}

fn refused_in(folder: &Folder) -> Refusal {
    let mut loaded = folder.load(&sandbox());
    assert_eq!(loaded.refused.len(), 1);
    loaded.refused.pop().unwrap()
}

#[test]
fn a_manifest_that_is_wrong_is_refused_with_its_handler() {
    let other = format!("digest = \"sha256:{}\"", "0".repeat(64));
    for (manifest, file, want, hint) in [
        (&b"timeot = \"1s\""[..], "bad.toml", "unknown key `timeot`", "did you mean `timeout`?"),
        (b"[grants]\nhtp = []", "bad.toml", "unknown key `grants.htp`", "did you mean `grants.http`?"),
        (b"[grants]\nxyz = []", "bad.toml", "unknown key `grants.xyz`", "known keys: http, config"),
        (other.as_bytes(), "bad.wasm", "its manifest expects sha256:0000", "change its `digest`"),
        (b"\xff\xfe", "bad.toml", "not UTF-8", ""),
        (b"timeout", "bad.toml", "line 1: ", ""),
        (&[b'#'; 1 << 21], "bad.toml", "2097152 bytes: expected at most 65536", ""),
    ] {
        let folder = Folder::new();
        folder.put("bad.wasm", handler(&Core::default()));
        folder.put("bad.toml", manifest);
        let refusal = folder.refused();
        assert!(refusal.reason.starts_with(want) && refusal.file.ends_with(file), "{refusal}");
        assert!(refusal.hint.as_deref().unwrap_or_default().contains(hint), "{refusal:?}");
    }
}

#[test]
fn a_manifest_without_a_handler_is_named() {
    let folder = Folder::new();
    folder.put("bad.toml", "");
    assert_eq!(folder.refused().reason, "a manifest without a handler: expected bad.wasm beside it");
}

#[test]
fn a_folder_that_is_gone_changes_nothing() {
    let (folder, sandbox) = (Folder::new(), sandbox());
    folder.load(&sandbox);
    assert!(sandbox.load_folder(Path::new("nowhere")).is_err());
    assert_eq!(sandbox.handlers().len(), 1);
}
