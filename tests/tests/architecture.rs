//! Holds the table in `ARCHITECTURE.md` against the code: every file has a row, every row a file, and no file imports
//! from its own crate what its row doesn't allow. Paths are read wherever they stand, in `use` or in an expression; what
//! is under `#[cfg(test)]` may import anything.
#![allow(clippy::unwrap_used, reason = "tests, with what serves them")]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imports::paths;
use table::Row;

/// What every file may import.
const LEAVES: [&str; 3] = ["task", "clock", "error"];
const HOST: &str = "host/src/";

#[test]
fn every_file_has_one_row_and_every_row_a_file() {
    let rows = table::host(&read("ARCHITECTURE.md"));
    let files = files(HOST);
    let mut mistakes = Vec::new();
    for file in &files {
        match rows.iter().filter(|row| row.covers(file)).count() {
            1 => {}
            found => mistakes.push(format!("{file}: expected one row in ARCHITECTURE.md, found {found}")),
        }
    }
    for pattern in rows.iter().flat_map(|row| &row.patterns) {
        if !files.iter().any(|file| table::matches(pattern, file)) {
            mistakes.push(format!("ARCHITECTURE.md: {pattern}: expected a file, found none"));
        }
    }
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn everything_else_that_is_mapped_is_there() {
    let files = files("");
    let missing: Vec<String> = table::others(&read("ARCHITECTURE.md"))
        .into_iter()
        .filter(|p| !files.iter().any(|f| table::matches(p, f)))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md: expected files, found none: {missing:?}");
}

#[test]
fn no_file_imports_what_its_row_does_not_allow() {
    let rows = table::host(&read("ARCHITECTURE.md"));
    let mut mistakes = Vec::new();
    for file in files(HOST).iter().filter(|file| file.ends_with(".rs")) {
        let Some(row) = rows.iter().find(|row| row.covers(file)) else { continue };
        let here = Place::of(file);
        for path in paths(&read(file)) {
            let Some(target) = here.resolve(&path) else { continue };
            if !here.is_at_home(&target) && !allowed(row, &target) {
                mistakes.push(format!("{file}: imports {}, which its row doesn't allow", path.join("::")));
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn a_server_is_named_in_backend_rs_or_by_a_row_that_says_so() {
    let (servers, rows) = (servers(), table::host(&read("ARCHITECTURE.md")));
    assert!(servers.contains("memory") && servers.contains("sqlite"), "{servers:?}");
    let mut mistakes = Vec::new();
    for file in files(HOST).iter().filter(|file| file.ends_with(".rs") && *file != "host/src/backend.rs") {
        let (here, text) = (Place::of(file), read(file));
        let by_path = paths(&text).into_iter().filter_map(|path| here.resolve(&path));
        let by_path = by_path.filter_map(|target| Some(target.strip_prefix("backend/")?.split('/').next()?.to_owned()));
        let by_name = imports::pairs(&text).into_iter().filter(|(above, _)| above == "backend").map(|(_, name)| name);
        let named: BTreeSet<String> = by_path.chain(by_name).filter(|name| servers.contains(name)).collect();
        for module in named.iter().map(|server| format!("backend/{server}")).filter(|module| *module != here.home) {
            if !rows.iter().any(|row| row.covers(file) && row.imports.contains(&module)) {
                mistakes.push(format!("{file}: names {module}, which is for host/src/backend.rs, or rows that say so"));
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

/// A server is whatever has its files in `host/src/backend/`; `url` only says where one is.
fn servers() -> BTreeSet<String> {
    let files = files(HOST).into_iter();
    let names =
        files.filter_map(|file| file.strip_prefix("host/src/backend/")?.split(['/', '.']).next().map(str::to_owned));
    names.filter(|name| name != "url").collect()
}

fn allowed(row: &Row, target: &str) -> bool {
    let under = |module: &str| target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    row.imports.iter().map(String::as_str).chain(LEAVES).any(under)
}

/// Where a file stands among its crate's modules.
struct Place {
    /// Its own module: `worker/attempt`.
    module: Vec<String>,
    /// What it may import without a word in the table: its folder with the module above it, `worker`.
    home: String,
}

impl Place {
    fn of(file: &str) -> Place {
        let path = file.strip_prefix(HOST).unwrap().strip_suffix(".rs").unwrap();
        let module: Vec<String> = match path {
            "lib" | "main" => Vec::new(),
            path => path.split('/').map(str::to_owned).collect(),
        };
        // A server's file beside its folder, and the URL beside the servers, are no part of their neighbours.
        let depth = if path.starts_with("backend/") { 2 } else { 1 };
        let home = module[..module.len().min(depth)].join("/");
        Place { module, home }
    }

    fn is_at_home(&self, target: &str) -> bool {
        let home = self.home.as_str();
        // The crates' roots declare all modules, so anything is their home.
        home.is_empty() || target == home || target.starts_with(&format!("{home}/"))
    }

    /// The module that a path leads to, as `backend/url`; `lib` for what the crate's root re-exports; none for a path
    /// into another crate.
    fn resolve(&self, path: &[String]) -> Option<String> {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let (mut module, rest) = match path[0].as_str() {
            "crate" | "tasq_host" => (Vec::new(), &path[1..]),
            "super" => (self.module[..self.module.len().saturating_sub(supers)].to_vec(), &path[supers..]),
            _ => return None,
        };
        for segment in rest {
            let deeper = [&module[..], std::slice::from_ref(segment)].concat();
            if !root().join(HOST).join(deeper.join("/")).with_extension("rs").is_file() {
                break;
            }
            module = deeper;
        }
        Some(if module.is_empty() { "lib".to_owned() } else { module.join("/") })
    }
}

/// All files under a folder of the repository, by their paths from its root, without what git ignores or keeps.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            match name.as_str() {
                "target" | ".git" | "wasm" => {}
                _ if path.is_dir() => folders.push(path),
                _ => found.push(name),
            }
        }
    }
    found.sort();
    found
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
