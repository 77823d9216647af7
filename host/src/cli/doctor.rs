//! `tasq-host doctor`: is the broker set up so that nothing is lost, and what would break?

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::error::{Code, Error};
use super::sandbox::SandboxArgs;
use super::{connect, output};
use crate::config::{ConcurrencyFlag, Config, HandlersFlag};
use tasq_host::backend;
use tasq_host::backend::url::Url;
use tasq_host::broker::finding::{Finding, Severity};

mod machine;

pub(super) use machine::mappings;

/// Look whether the broker is set up so that nothing is lost
///
/// Each finding says what could be lost and what mends it: "warning" where it takes something rare such as a machine that
/// loses power, "danger" where something ordinary is enough. Exits with 1 where there is a danger. With handlers it
/// also looks whether a worker could serve them on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host doctor --broker redis://localhost
  tasq-host doctor --handlers ./wasm
  tasq-host doctor --json | jq 'select(.level == \"danger\")'")]
pub(crate) struct Args {
    #[command(flatten)]
    _handlers: HandlersFlag,
    #[command(flatten)]
    _concurrency: ConcurrencyFlag,
    /// Print one JSON object a line: place, level, about, found, risk, mend
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// A line of `doctor --json`.
#[derive(Debug, Serialize)]
struct FindingView<'a> {
    /// The broker's or the results' URL, or `handlers`.
    place: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// Looks at everything, and says what it found.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let mut places = vec![(config.broker.to_string(), look(&config, &config.broker).await?)];
    if let Some(results) = config.results.as_ref().filter(|&results| *results != config.broker) {
        places.push((results.to_string(), look(&config, results).await?));
    }
    if let Some(folder) = config.worker.handlers.clone() {
        let concurrency = config.worker.concurrency;
        let (sandbox, config) = (args.sandbox.clone(), config.clone());
        // Compiling takes seconds.
        let look = move || machine::look(&sandbox, &config, &folder, concurrency);
        let found = tokio::task::spawn_blocking(look).await;
        let found = found.map_err(|panic| Error::new(Code::Failed, format!("a bug in tasq-host: {panic}")))??;
        places.push(("handlers".to_owned(), found));
    }
    for (place, findings) in &places {
        show(place, findings, args.json)?;
    }
    let count = |level| places.iter().flat_map(|(_, found)| found).filter(|finding| finding.level == level).count();
    let dangers = count(Severity::Danger);
    output::note(&format!("dangers: {dangers}, warnings: {}", count(Severity::Warning)));
    if dangers > 0 { Err(Error::silent(Code::Failed)) } else { Ok(()) }
}

/// No limit but the backend's own: an SQLite file is read from end to end.
async fn look(config: &Config, url: &Url) -> Result<Vec<Finding>, Error> {
    let backend = connect::within(config, backend::open(url, None)).await?;
    Ok(backend.operations.findings().await?)
}

fn show(place: &str, findings: &[Finding], json: bool) -> std::io::Result<()> {
    if json {
        return findings.iter().try_for_each(|finding| output::json(&FindingView { place, finding }));
    }
    let stdout = std::io::stdout();
    let coloured = stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    output::line(place)?;
    findings.iter().try_for_each(|finding| output::line(&text(finding, coloured)))
}

/// For people: what it is on a line, risk and mend below it.
fn text(finding: &Finding, coloured: bool) -> String {
    let Finding { level, about, found, risk, mend } = finding;
    let style = match level {
        Severity::Ok => AnsiColor::Green.on_default(),
        Severity::Note => Style::new(),
        Severity::Warning => AnsiColor::Yellow.on_default(),
        Severity::Danger => AnsiColor::Red.on_default().bold(),
    };
    let word = format!("{:<7}", level.as_str());
    let word = if coloured { format!("{style}{word}{style:#}") } else { word };
    let mut text = format!("  {word}  {about:<11}  {}", output::one_line(found));
    for (name, value) in [("risk", risk), ("mend", mend)] {
        if let Some(value) = value {
            text.push_str(&format!("\n           {name:<11}  {}", output::one_line(value)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_well_and_cannot_be_forged() {
        let finding = Finding::danger("role", "a replica\n  ok", "nothing can be enqueued").mend("name the primary");
        let expected = "  danger   role         a replica\\n  ok\n           risk         nothing can be enqueued\n           mend         name the primary";
        assert_eq!(text(&finding, false), expected);
        assert_eq!(anstream::adapter::strip_str(&text(&finding, true)).to_string(), expected);
    }

    #[test]
    fn a_line_of_json_has_the_promised_fields() {
        let finding = Finding::warning("disk", "full", "lost").mend("rm");
        let line = serde_json::to_string(&FindingView { place: "p", finding: &finding }).unwrap();
        let expected = r#"{"place":"p","level":"warning","about":"disk","found":"full","risk":"lost","mend":"rm"}"#;
        assert_eq!(line, expected);
        let line = serde_json::to_string(&FindingView { place: "p", finding: &Finding::ok("disk", "free") }).unwrap();
        assert_eq!(line, r#"{"place":"p","level":"ok","about":"disk","found":"free"}"#);
    }
}
