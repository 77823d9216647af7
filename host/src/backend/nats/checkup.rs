//! Is the server set up so that nothing is lost?

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use serde::Deserialize;

use super::Nats;
use super::command::Command;
use crate::broker::finding::{Finding, version};
use crate::error::Result;

/// What matters here of an account; the client's own type asks for more than 2.9.10 tells.
#[derive(Debug, Deserialize)]
struct Account {
    /// Bytes in files.
    storage: u64,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
struct Limits {
    /// Negative for none.
    max_storage: i64,
}

impl Nats {
    pub(super) async fn findings(&self) -> Result<Vec<Finding>> {
        let server = self.link.client.server_info();
        let mut findings = vec![software(&server.version)];
        let streams = [&self.link.log, &self.link.snapshots, &self.link.blobs, &self.link.inbox];
        let mut copies = usize::MAX;
        for stream in streams {
            let info = stream.get_info().await.map_err(|error| self.link.trouble(&error))?;
            copies = copies.min(info.config.num_replicas);
            findings.extend(kept(&info.config, info.config.name == self.link.snapshots_name));
        }
        findings.push(copies_of(copies, &self.link.log_name, server.cluster.is_some()));
        findings.push(written(copies));
        findings.push(longest(server.max_payload));
        match self.link.jetstream.request("INFO", &()).await.map_err(|error| self.link.trouble(&error))? {
            Response::Ok(account) => findings.push(room(&account)),
            Response::Err { error } => return Err(self.link.trouble(&error)),
        }
        // Nothing is delivered: it is the server's stamp that is wanted.
        self.call(Command::Delivered(Vec::new())).await?;
        let ahead = self.replica.time.ahead();
        findings.push(Finding::skew(ahead.max(0).unsigned_abs(), ahead.min(0).unsigned_abs()));
        Ok(findings)
    }
}

fn software(text: &str) -> Finding {
    if version(text) < (2, 9, 10) {
        let risk = "what this program asks of streams may not be kept";
        return Finding::danger("version", format!("nats-server {text}, older than 2.9.10"), risk)
            .mend("upgrade the server to 2.9.10 or newer");
    }
    Finding::ok("version", format!("nats-server {text} with JetStream"))
}

/// One finding a stream, or several where several things are wrong. `replaced`: newer messages may push out older ones.
fn kept(config: &Config, replaced: bool) -> Vec<Finding> {
    let name = &config.name;
    let mut findings = Vec::new();
    if config.storage != StorageType::File {
        let risk = "a server that restarts loses every task and result";
        let mend = format!("stop all workers; nats stream rm {name}, and let this program create it anew");
        findings.push(Finding::danger("storage", format!("{name} is kept in memory"), risk).mend(mend));
    }
    if !config.max_age.is_zero() {
        let found = format!("{name} drops messages after {}", humantime::format_duration(config.max_age));
        findings.push(
            Finding::danger("limits", found, "tasks that wait for longer are lost")
                .mend(format!("nats stream edit {name} --max-age=0")),
        );
    }
    if !replaced && config.discard != DiscardPolicy::New && (config.max_messages > 0 || config.max_bytes > 0) {
        let found = format!("{name} drops its oldest messages when it is full");
        findings.push(
            Finding::danger("limits", found, "tasks are lost").mend(format!("nats stream edit {name} --discard=new")),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("storage", format!("{name}: file")));
    }
    findings
}

fn copies_of(copies: usize, log: &str, clustered: bool) -> Finding {
    match copies {
        0 | 1 if clustered => {
            let risk = "a server whose disk is lost takes every task with it";
            let mend = format!("nats stream edit {log} --replicas=3, and the same for the other streams");
            Finding::warning("replicas", "1, although the servers are a cluster", risk).mend(mend)
        }
        0 | 1 => Finding::note("replicas", "1: the server's disk is the only copy"),
        copies => Finding::ok("replicas", format!("{copies}")),
    }
}

/// Clients aren't told the server's setting.
fn written(copies: usize) -> Finding {
    let found = "sync_interval can't be seen from here; unless it is always, the disk has it after up to 2 minutes";
    if copies >= 3 {
        return Finding::note("persistence", format!("{found}; {copies} servers have it by then"));
    }
    let risk = "a killed server loses nothing; a machine that loses power loses what was accepted since";
    Finding::warning("persistence", found, risk)
        .mend("in the server's configuration: jetstream { sync_interval: always }")
}

fn longest(bytes: usize) -> Finding {
    let found = format!("max_payload {}", bytesize::ByteSize(bytes as u64));
    if bytes < 64 << 10 {
        let risk = "every larger batch, payload and result goes in many pieces: slow";
        return Finding::warning("max_payload", found, risk).mend("in the server's configuration: max_payload: 1MB");
    }
    Finding::ok("max_payload", format!("{found}; what is longer goes in pieces"))
}

fn room(account: &Account) -> Finding {
    let used = bytesize::ByteSize(account.storage);
    match u64::try_from(account.limits.max_storage) {
        Err(_) => Finding::ok("limits", format!("{used} stored, no limit for this account")),
        Ok(most) => {
            let found = format!("{used} of {} stored", bytesize::ByteSize(most));
            if account.storage >= most / 10 * 9 {
                let risk = "once it is full nothing can be enqueued or ended; what is there stays";
                return Finding::warning("limits", found, risk)
                    .mend("raise the account's disk_storage, or max_file_store");
            }
            Finding::ok("limits", found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::finding::Severity;
    use std::time::Duration;

    fn worst(config: Config) -> Severity {
        kept(&config, false).iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn a_stream_that_drops_or_forgets_is_told() {
        let good = || Config { storage: StorageType::File, discard: DiscardPolicy::New, ..Config::default() };
        assert_eq!(worst(good()), Severity::Ok);
        assert_eq!(worst(Config { storage: StorageType::Memory, ..good() }), Severity::Danger);
        assert_eq!(worst(Config { max_age: Duration::from_secs(60), ..good() }), Severity::Danger);
        assert_eq!(worst(Config { max_bytes: 9, discard: DiscardPolicy::Old, ..good() }), Severity::Danger);
        assert_eq!(worst(Config { max_bytes: 9, ..good() }), Severity::Ok);
    }

    #[test]
    fn copies_version_and_room_are_told() {
        assert_eq!(software("2.9.9").level, Severity::Danger);
        assert_eq!(software("2.9.10").level, Severity::Ok);
        assert_eq!(copies_of(1, "l", true).level, Severity::Warning);
        assert_eq!((copies_of(3, "l", true).level, written(3).level), (Severity::Ok, Severity::Note));
        let room = |max_storage| room(&Account { storage: 95, limits: Limits { max_storage } }).level;
        assert_eq!([room(-1), room(1_000), room(100)], [Severity::Ok, Severity::Ok, Severity::Warning]);
    }
}
