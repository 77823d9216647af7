//! Could a worker serve these handlers on this machine?

use std::path::Path;

use super::super::error::Error;
use super::super::sandbox::{SandboxArgs, load_folder};
use crate::config::Config;
use tasq_host::broker::finding::Finding;
use tasq_host::sandbox::{MEMORY, Refusal, Sandbox};

/// Loads what a worker would load.
pub(super) fn look(
    args: &SandboxArgs,
    config: &Config,
    folder: &Path,
    concurrency: usize,
) -> Result<Vec<Finding>, Error> {
    let sandbox = args.open(config, concurrency, crate::cli::secrets::permitted(config)?)?;
    let loaded = load_folder(&sandbox, folder)?;
    let mut findings = vec![served(&sandbox)];
    findings.extend(loaded.refused.iter().map(refused));
    findings.extend([memory(&sandbox, concurrency), mappings(concurrency)]);
    findings.extend(sandbox.notes().iter().map(|note| Finding::note("sandbox", note)));
    Ok(findings)
}

fn served(sandbox: &Sandbox) -> Finding {
    let handlers = sandbox.handlers();
    let mut names: Vec<&str> = handlers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Finding::warning("handlers", "none", "every task waits, parked")
            .mend("put NAME.wasm files into the folder");
    }
    Finding::ok("handlers", names.join(" "))
}

fn refused(refusal: &Refusal) -> Finding {
    let mend = refusal.hint.clone().unwrap_or_else(|| format!("tasq-host handler check {}", refusal.file.display()));
    Finding::warning("handlers", refusal.to_string(), "its tasks wait, parked").mend(mend)
}

/// What all runs could use together, if each took all it may.
fn memory(sandbox: &Sandbox, concurrency: usize) -> Finding {
    let handlers = sandbox.handlers();
    let own = |memory: Option<bytesize::ByteSize>| memory.map_or(MEMORY, |memory| memory.as_u64());
    let largest = handlers.values().map(|handler| own(handler.manifest.memory)).max().unwrap_or(MEMORY);
    let (most, limit) = (largest.saturating_mul(concurrency as u64), sandbox.memory().limit);
    let size = |bytes| bytesize::ByteSize(bytes).to_string();
    let found = format!("{concurrency} runs at once of up to {} each, of a budget of {}", size(largest), size(limit));
    if most <= limit {
        return Finding::ok("memory", found);
    }
    Finding {
        risk: Some("where all use it, new runs wait, and the largest is given back".into()),
        ..Finding::note("memory", found)
    }
    .mend("lower --concurrency or the handlers' memory, or raise --memory-budget")
}

/// Mappings that a process may have, by default; newer systems have a million.
const USUAL: u64 = 65_530;
/// What a process has that runs nothing, and what a run adds at most: a mapping for each of its memories, tables and
/// stacks, its image, and what lies between them.
const IDLE: u64 = 2_000;
const PER_RUN: u64 = 16;

/// Whether the kernel lets a process map what so many runs at once need.
pub(in crate::cli) fn mappings(concurrency: usize) -> Finding {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    enough(text.trim().parse().unwrap_or(USUAL), concurrency as u64)
}

fn enough(allowed: u64, concurrency: u64) -> Finding {
    let needed = IDLE + concurrency * PER_RUN;
    let found = format!("vm.max_map_count {allowed}, {needed} are enough for {concurrency} runs at once");
    if allowed >= needed {
        return Finding::ok("mappings", found);
    }
    Finding::warning("mappings", found, "runs for which nothing can be mapped are given back, again and again")
        .mend(format!("sysctl -w vm.max_map_count={}", needed.max(262_144)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasq_host::broker::finding::Severity;

    #[test]
    fn many_runs_need_many_mappings() {
        assert_eq!(enough(USUAL, 32).level, Severity::Ok);
        let short = enough(USUAL, 100_000);
        assert_eq!(
            (short.level, short.mend.as_deref()),
            (Severity::Warning, Some("sysctl -w vm.max_map_count=1602000"))
        );
    }
}
