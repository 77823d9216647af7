//! `tasq-host handler check`: would the host take a file, and why not.

use std::path::PathBuf;

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::output;
use super::super::sandbox::CacheArgs;
use super::facts::{self, ImportView};
use super::terms::TermsView;
use crate::config::{Config, SecretsFlag};
use tasq_host::sandbox::Inspection;

/// Say whether the host would take a file as a handler, and why not
///
/// Shows what it imports: what is granted works; what is inert is there and answers that there is nothing, or that it
/// is denied; what is refused the host doesn't have. Beside it stands the manifest's line that would grant it, or what
/// to change in the build. Then, what holds of the manifest under the operator's ceilings and grants; a secret that is
/// missing where this runs is told, and is no refusal. Exits with 1 when the file would be refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host handler check wasm/add.wasm")]
pub(crate) struct Args {
    /// The .wasm file; a manifest of the same name beside it counts as well
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    _secrets: SecretsFlag,
    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Serialize)]
struct CheckView<'a> {
    file: String,
    digest: &'a str,
    size_bytes: u64,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    imports: Vec<ImportView<'a>>,
    /// Absent where the manifest can't be read.
    #[serde(flatten)]
    terms: Option<TermsView<'a>>,
}

/// Checks one file.
pub(crate) fn run(args: &Args, config: &Config) -> Result<(), Error> {
    super::expect_file(&args.file)?;
    let inspection = args.cache.open(config)?.inspect(&args.file)?;
    let view = CheckView {
        file: args.file.display().to_string(),
        digest: &inspection.digest,
        size_bytes: inspection.bytes,
        accepted: inspection.refusal.is_none(),
        reason: inspection.refusal.as_ref().map(|refusal| refusal.reason.as_str()),
        hint: inspection.refusal.as_ref().and_then(|refusal| refusal.hint.as_deref()),
        imports: inspection.imports.iter().map(ImportView::of).collect(),
        terms: inspection.terms.as_ref().map(|terms| TermsView::of(terms, config)),
    };
    if args.json {
        output::json(&view)?;
        return if view.accepted { Ok(()) } else { Err(Error::silent(Code::Failed)) };
    }
    let tables = facts::imports(&inspection.imports).into_iter().chain(view.terms.as_ref().map(TermsView::text));
    let text: String = tables.map(|table| format!("\n\n{table}")).collect();
    output::line(&format!("{}{text}\n", facts::head(&args.file, &inspection)))?;
    let misses = view.terms.as_ref().is_some_and(TermsView::misses_a_secret);
    match inspection {
        Inspection { refusal: Some(refusal), .. } => Err(refusal.into()),
        _ if misses => Ok(output::line("the host takes it, once it is given the secrets that are missing")?),
        _ => Ok(output::line("the host takes it")?),
    }
}
