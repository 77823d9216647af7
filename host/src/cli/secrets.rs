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
    for text in &config.secrets {
        let (name, value) = match text.split_once('=') {
            None => (text.as_str(), variable(text)?),
            Some((name, file)) => match file.strip_prefix('@') {
                Some(file) => (name, contents(name, Path::new(file))?),
                None => {
                    let problem =
                        "expected NAME or NAME=@FILE, found a value: all users of a machine see its command lines";
                    return Err(Error::usage(format!("--secret {}: {problem}", name.escape_debug())));
                }
            },
        };
        secrets.add(name, &value).map_err(|refused| Error::usage(format!("--secret: {refused}")))?;
    }
    Ok(secrets)
}

fn variable(name: &str) -> Result<Vec<u8>, Error> {
    let value = config::secret(name).map(|value| value.into_encoded_bytes());
    value.ok_or_else(|| Error::usage(format!("--secret {0}: the variable {0} isn't set", name.escape_debug())))
}

fn contents(name: &str, file: &Path) -> Result<Vec<u8>, Error> {
    let wrong =
        |problem: String| Error::usage(format!("--secret {}: {}: {problem}", name.escape_debug(), file.display()));
    let mut value = Vec::new();
    let opened = File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut value));
    opened.map_err(|error| wrong(error.to_string()))?;
    if value.len() as u64 > LARGEST { Err(wrong(format!("expected at most {LARGEST} bytes"))) } else { Ok(value) }
}
