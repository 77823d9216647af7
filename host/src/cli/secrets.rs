//! `--secret`: what handlers may ask for, out of the environment or a file, never off the command line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tasq_host::sandbox::secrets::Secrets;

use super::error::Error;
use crate::config::{self, Config};

/// More than any secret; what is longer is another file than was meant.
const LARGEST: u64 = 64 << 10;

/// Reads those that the operator has named. No error shows a value.
pub(crate) fn permitted(config: &Config) -> Result<Secrets, Error> {
    let mut secrets = Secrets::default();
    config.secrets.iter().try_for_each(|text| add(&mut secrets, text)).map_err(Error::usage)?;
    Ok(secrets)
}

/// How a secret stands that a manifest asks for.
pub(crate) enum Standing {
    /// The operator has named it, and it is there.
    Given,
    /// The operator hasn't named it.
    NotNamed,
    /// It is named, but can't be had here, for this reason.
    Missing(String),
}

/// How the secret `name` stands, its value left aside.
pub(crate) fn standing(config: &Config, name: &str) -> Standing {
    match config.secrets.iter().find(|text| text.split_once('=').map_or(text.as_str(), |(name, _)| name) == name) {
        None => Standing::NotNamed,
        Some(text) => match add(&mut Secrets::default(), text) {
            Ok(()) => Standing::Given,
            Err(problem) => Standing::Missing(problem),
        },
    }
}

/// What is wrong is said without the value.
fn add(secrets: &mut Secrets, text: &str) -> Result<(), String> {
    let (name, value) = match text.split_once('=') {
        None => (text, variable(text)?),
        Some((name, file)) => match file.strip_prefix('@') {
            Some(file) => (name, contents(name, Path::new(file))?),
            None => {
                let problem =
                    "expected NAME or NAME=@FILE, found a value: all users of a machine see its command lines";
                return Err(format!("--secret {}: {problem}", name.escape_debug()));
            }
        },
    };
    secrets.add(name, &value).map_err(|refused| format!("--secret: {refused}"))
}

fn variable(name: &str) -> Result<Vec<u8>, String> {
    let value = config::secret(name).map(|value| value.into_encoded_bytes());
    value.ok_or_else(|| format!("--secret {0}: the variable {0} isn't set", name.escape_debug()))
}

fn contents(name: &str, file: &Path) -> Result<Vec<u8>, String> {
    let wrong = |problem: String| format!("--secret {}: {}: {problem}", name.escape_debug(), file.display());
    let mut value = Vec::new();
    let opened = File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut value));
    opened.map_err(|error| wrong(error.to_string()))?;
    if value.len() as u64 > LARGEST { Err(wrong(format!("expected at most {LARGEST} bytes"))) } else { Ok(value) }
}
