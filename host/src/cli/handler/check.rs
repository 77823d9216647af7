//! `tasq-host handler check`: would the host take a file, and why not.

use std::path::PathBuf;

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::output;
use super::super::sandbox::CacheArgs;
use crate::config::Config;
use tasq_host::sandbox::{Access, Import, Inspection};

/// Say whether the host would take a file as a handler, and why not
///
/// Shows what it imports: what is granted works; what is inert is there and answers that there is nothing, or that it
/// is denied; what is refused the host doesn't have. Exits with 1 when the file would be refused.
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
}

#[derive(Serialize)]
struct ImportView<'a> {
    interface: &'a str,
    access: &'static str,
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
        imports: inspection.imports.iter().map(import).collect(),
    };
    if args.json {
        output::json(&view)?;
        return if view.accepted { Ok(()) } else { Err(Error::silent(Code::Failed)) };
    }
    output::line(&text(&view))?;
    match inspection {
        Inspection { refusal: Some(refusal), .. } => Err(refusal.into()),
        _ => Ok(output::line("the host takes it")?),
    }
}

fn import(import: &Import) -> ImportView<'_> {
    let access = match import.access {
        Access::Granted => "granted",
        Access::Inert => "inert",
        Access::Refused => "refused",
    };
    ImportView { interface: &import.interface, access }
}

fn text(view: &CheckView<'_>) -> String {
    let file = output::one_line(&view.file);
    let head = format!("{file}  {}  {}", bytesize::ByteSize(view.size_bytes), view.digest);
    let row = |import: &ImportView<'_>| vec![output::one_line(import.interface), import.access.into()];
    let rows = std::iter::once(vec!["IMPORT".into(), "ACCESS".into()]).chain(view.imports.iter().map(row));
    match view.imports.as_slice() {
        [] => head,
        _ => format!("{head}\n\n{}\n", output::table(&rows.collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_import() {
        let imports = vec![
            ImportView { interface: "tasq:handler/log@0.1.0", access: "granted" },
            ImportView { interface: "evil\u{1b}[2J", access: "refused" },
        ];
        let (file, digest) = ("a.wasm".into(), "sha256:0");
        let view = CheckView { file, digest, size_bytes: 2048, accepted: false, reason: None, hint: None, imports };
        let expected = "a.wasm  2.0 KiB  sha256:0\n\nIMPORT                  ACCESS\n\
                        tasq:handler/log@0.1.0  granted\nevil\\u{1b}[2J           refused\n";
        assert_eq!(text(&view), expected);
    }
}
