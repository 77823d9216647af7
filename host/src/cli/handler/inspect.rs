//! `tasq-host handler inspect`: what a file is and what it asks for.

use std::path::PathBuf;

use serde::Serialize;

use super::super::error::{Code, Error};
use super::super::output;
use super::super::sandbox::CacheArgs;
use super::facts::{self, ImportView};
use crate::config::Config;
use tasq_host::sandbox::{HandlerKind, Inspection, Needs, Producer};

/// Show what a file is: its kind, imports, exports, makers, and what a run of it takes
///
/// Whether the host would take it is shown as well; only a file that is no WebAssembly at all exits with 1. Who made it is
/// what it says itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tasq-host handler inspect wasm/add.wasm")]
pub(crate) struct Args {
    /// The .wasm file; a manifest of the same name beside it counts as well
    file: PathBuf,
    /// Print one JSON object; numbers carry their unit in the name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Serialize)]
struct InspectView<'a> {
    file: String,
    digest: &'a str,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<NeedsView>,
    producers: Vec<ProducerView<'a>>,
    exports: &'a [String],
    imports: Vec<ImportView<'a>>,
}

#[derive(Serialize)]
struct NeedsView {
    core_instances: u32,
    memories: u32,
    initial_memory_bytes: u64,
    tables: u32,
}

#[derive(Serialize)]
struct ProducerView<'a> {
    field: &'a str,
    name: &'a str,
    version: &'a str,
}

/// Looks at one file.
pub(crate) fn run(args: &Args, config: &Config) -> Result<(), Error> {
    super::expect_file(&args.file)?;
    let seen = args.cache.open(config)?.inspect(&args.file)?;
    if args.json {
        output::json(&InspectView::of(args.file.display().to_string(), &seen))?;
    } else {
        output::line(&text(args, &seen))?;
    }
    match seen.refusal {
        Some(refusal) if seen.needs.is_none() => {
            if args.json {
                Err(Error::silent(Code::Failed))
            } else {
                Err(refusal.into())
            }
        }
        _ => Ok(()),
    }
}

impl InspectView<'_> {
    fn of(file: String, seen: &Inspection) -> InspectView<'_> {
        let Needs { core_instances, memories, initial_memory, tables } = seen.needs.unwrap_or(Needs::MOST);
        let needs = NeedsView { core_instances, memories, initial_memory_bytes: initial_memory, tables };
        InspectView {
            file,
            digest: &seen.digest,
            size_bytes: seen.bytes,
            kind: seen.kind.map(|kind| words(kind).0),
            accepted: seen.refusal.is_none(),
            reason: seen.refusal.as_ref().map(|refusal| &*refusal.reason),
            needs: seen.needs.map(|_| needs),
            producers: seen.producers.iter().map(ProducerView::of).collect(),
            exports: &seen.exports,
            imports: seen.imports.iter().map(ImportView::of).collect(),
        }
    }
}

impl ProducerView<'_> {
    fn of(Producer { field, name, version }: &Producer) -> ProducerView<'_> {
        ProducerView { field, name, version }
    }
}

/// For programs, and for people.
fn words(kind: HandlerKind) -> (&'static str, &'static str) {
    match kind {
        HandlerKind::Component => ("component", "a component of tasq:handler"),
        HandlerKind::Module => ("module", "a core module of tasq:handler, made a component when it is loaded"),
        HandlerKind::CommandComponent => ("command-component", "a command, as a component (wasi:cli/run)"),
        HandlerKind::CommandModule => ("command-module", "a command, as a core module of WASI preview 1"),
    }
}

fn text(args: &Args, seen: &Inspection) -> String {
    let mut rows = vec![vec!["kind".into(), seen.kind.map_or("nothing that serves", |kind| words(kind).1).into()]];
    if let Some(refusal) = &seen.refusal {
        rows.push(vec!["refused".into(), output::one_line(&refusal.reason)]);
    }
    if let Some(Needs { core_instances, memories, initial_memory, tables }) = seen.needs {
        let of = |found, most| format!("{found} of at most {most}");
        rows.push(vec!["core instances".into(), of(core_instances, Needs::MOST.core_instances)]);
        let size = bytesize::ByteSize(initial_memory);
        let memories = of(memories, Needs::MOST.memories);
        rows.push(vec!["memories".into(), format!("{memories}; the largest begins with {size}")]);
        rows.push(vec!["tables".into(), of(tables, Needs::MOST.tables)]);
    }
    for producer in &seen.producers {
        let made_by = format!("{} {}", producer.name, producer.version);
        rows.push(vec![output::one_line(&producer.field), output::one_line(made_by.trim_end())]);
    }
    for export in &seen.exports {
        rows.push(vec!["export".into(), output::one_line(export)]);
    }
    let facts = format!("{}\n\n{}", facts::head(&args.file, seen), output::table(&rows));
    match facts::imports(&seen.imports) {
        Some(imports) => format!("{facts}\n\n{imports}"),
        None => facts,
    }
}
