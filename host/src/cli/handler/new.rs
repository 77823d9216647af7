//! `tasq-host handler new`: a project that builds, from the templates in `sdk/`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use include_dir::{Dir, include_dir};

use super::super::error::{Code, Error};
use super::super::output;
use tasq_host::task::Name;

static SDK: Dir = include_dir!("$CARGO_MANIFEST_DIR/../sdk");
static WIT: Dir = include_dir!("$CARGO_MANIFEST_DIR/../wit");

const LANGUAGES: [&str; 9] = ["rust", "python", "javascript", "typescript", "go", "c", "cpp", "zig", "assemblyscript"];

/// Make a handler's project
///
/// It stands in ./NAME: the handler, a test in its own language, its manifest, how to build it (build.toml), and the SDK in
/// tasq/. What it needs of tools its README.md says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host handler new add --lang python
  tasq-host handler build add --handlers ./wasm")]
pub(crate) struct Args {
    /// The handler's name
    name: Name,
    /// The language that it is written in
    #[arg(long, value_parser = PossibleValuesParser::new(LANGUAGES))]
    lang: String,
}

/// Writes one project.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let (name, project) = (args.name.as_str(), PathBuf::from(args.name.as_str()));
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::usage(format!("{name}: expected nothing of this name here, found something"))
        }
        _ => Error::new(Code::Failed, format!("{name}: the project can't be written: {error}")),
    };
    fs::create_dir(&project).map_err(failed)?;
    let part = |part: &str| {
        SDK.get_dir(format!("{}/{part}", args.lang)).unwrap_or_else(|| panic!("every language has a {part}"))
    };
    write(part("template"), &project, Some(name)).map_err(failed)?;
    write(part("tasq"), &project.join("tasq"), None).map_err(failed)?;
    write(&WIT, &project.join("wit"), None).map_err(failed)?;
    output::note(&format!("{name}/README.md says what it needs; build it with: tasq-host handler build {name}"));
    Ok(output::line(&project.display().to_string())?)
}

/// A template speaks of the handler's name; everything else is written as it is.
fn write(from: &Dir, to: &Path, name: Option<&str>) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for file in from.files() {
        let path = file.path().strip_prefix(from.path()).unwrap_or(file.path());
        let (path, contents) = match name {
            Some(name) => {
                (filled(&path.to_string_lossy(), name), filled(file.contents_utf8().unwrap_or_default(), name))
            }
            None => (path.to_string_lossy().into_owned(), String::new()),
        };
        // Cargo, which looks for packages in all of a repository, would stumble over a manifest without a name yet.
        let path = to.join(path.trim_end_matches(".in"));
        fs::write(path, if name.is_some() { contents.as_bytes() } else { file.contents() })?;
    }
    for folder in from.dirs() {
        let path = folder.path().strip_prefix(from.path()).unwrap_or(folder.path());
        write(folder, &to.join(path), name)?;
    }
    Ok(())
}

fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_what_a_project_needs() {
        for lang in LANGUAGES {
            let folder = tempfile::tempdir().unwrap();
            let template = SDK.get_dir(format!("{lang}/template")).unwrap_or_else(|| panic!("{lang} has no template"));
            write(template, folder.path(), Some("my-add")).unwrap();
            for file in ["build.toml", "README.md", "my-add.toml", ".gitignore"] {
                let text = fs::read_to_string(folder.path().join(file)).unwrap_or_else(|_| panic!("{lang}: {file}"));
                assert!(!text.contains("{{"), "{lang}: {file}: {text}");
            }
            assert!(SDK.get_dir(format!("{lang}/tasq")).is_some_and(|glue| !glue.entries().is_empty()), "{lang}");
        }
    }

    #[test]
    fn a_project_in_rust_has_the_sdk_of_this_version() {
        let workspace = include_str!("../../../../Cargo.toml");
        let glue = SDK.get_file("rust/tasq/Cargo.toml").unwrap().contents_utf8().unwrap();
        for dependency in ["serde ", "serde_json ", "wit-bindgen "] {
            let line = |text: &str| text.lines().find(|line| line.starts_with(dependency)).map(String::from);
            assert_eq!(line(glue), line(workspace), "{dependency}");
        }
        assert!(SDK.get_file("rust/tasq/src/lib.rs").is_some(), "the link is followed");
    }
}
