//! Is the server set up so that nothing is lost?

use redis::{Cmd, InfoDict, cmd};

use super::Redis;
use super::link::Node;
use crate::broker::finding::{Finding, version};
use crate::clock::{Clock, System};
use crate::error::{ErrorKind, Result};
use crate::task::Timestamp;

/// What CONFIG says; none where this user isn't let.
struct Settings {
    fsync: Option<String>,
    save: Option<String>,
}

impl Redis {
    pub(super) async fn findings(&self) -> Result<Vec<Finding>> {
        let nodes = self.link.nodes().await?;
        let mut findings = if self.link.is_split() { vec![self.whole().await?] } else { Vec::new() };
        findings.extend(self.link.sentinels().await.into_iter().map(sentinel));
        for node in nodes {
            findings.extend(self.findings_at(&node).await?);
        }
        Ok(findings)
    }

    /// Whether the cluster answers for all of its slots.
    async fn whole(&self) -> Result<Finding> {
        let info: InfoDict = self.link.ask_any(cmd("CLUSTER").arg("INFO")).await?;
        let (state, slots) = (text(&info, "cluster_state"), number(&info, "cluster_slots_ok"));
        let found =
            format!("{state}, {slots} of {SLOTS} slots served by {} nodes", number(&info, "cluster_known_nodes"));
        if state == "ok" && slots == SLOTS {
            return Ok(Finding::ok("cluster", found));
        }
        let risk = "queues whose slots nobody serves can't be enqueued to, taken from or looked at";
        Ok(Finding::danger("cluster", found, risk).mend("redis-cli --cluster check HOST:PORT, then --cluster fix"))
    }

    async fn findings_at(&self, node: &Node) -> Result<Vec<Finding>> {
        let found = self.look_at(node).await;
        let Some(address) = &node.address else { return found };
        let found = match found {
            Ok(found) => found,
            // The others are to be looked at all the same.
            Err(error) => {
                let risk = "its slots are not served unless a replica has taken its place";
                vec![Finding::danger("node", error.message, risk).mend("start it again, or have the cluster forget it")]
            }
        };
        Ok(found
            .into_iter()
            .map(|finding| Finding { found: format!("{address}: {}", finding.found), ..finding })
            .collect())
    }

    async fn look_at(&self, node: &Node) -> Result<Vec<Finding>> {
        let info: InfoDict = match self.link.ask(node, &cmd("INFO")).await {
            Ok(info) => info,
            Err(error) if error.kind == ErrorKind::Rejected => {
                let risk = "whether the server keeps what it accepts is not known";
                return Ok(vec![
                    Finding::warning("info", error.message, risk).mend("allow this user +info and +config|get"),
                ]);
            }
            Err(error) => return Err(error),
        };
        let fsync = self.setting(node, "appendfsync").await?;
        let settings = Settings { fsync, save: self.setting(node, "save").await? };
        let mut findings = look(&info, &settings, if node.address.is_some() { Part::OfMany } else { Part::Alone });
        let asked = System.now();
        let (seconds, micros): (u64, u64) = self.link.ask(node, &cmd("TIME")).await?;
        findings.push(Finding::clock(Timestamp(seconds * 1_000 + micros / 1_000), asked));
        Ok(findings)
    }

    async fn setting(&self, node: &Node, name: &str) -> Result<Option<String>> {
        let mut get: Cmd = cmd("CONFIG");
        get.arg("GET").arg(name);
        match self.link.ask::<Vec<String>>(node, &get).await {
            Ok(pair) => Ok(pair.into_iter().nth(1)),
            // Services that run servers for others often have no such command.
            Err(error) if error.kind == ErrorKind::Rejected => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a server is to whom it serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Alone,
    /// Of a cluster, or of those that sentinels watch: replicas take the place of their primary.
    OfMany,
}

fn look(info: &InfoDict, settings: &Settings, part: Part) -> Vec<Finding> {
    let mut findings = vec![software(info), role(info, part), persistence(info, settings)];
    findings.extend(trouble(info));
    findings.extend([memory(info), replicas(info, part)]);
    findings
}

/// Of every cluster.
const SLOTS: u64 = 16_384;

fn sentinel((address, said): (String, Result<String>)) -> Finding {
    match said {
        Ok(said) => Finding::ok("sentinel", format!("{address}: {said}")),
        Err(error) => {
            let risk = "a primary that ends may not be replaced, and nothing can be enqueued or taken until it is back";
            Finding::warning("sentinel", format!("{address}: {}", error.message), risk).mend(
                "start the sentinel, or more of them: redis-cli -p 26379 SENTINEL CKQUORUM NAME says what is missing",
            )
        }
    }
}

fn text(info: &InfoDict, name: &str) -> String {
    info.get(name).unwrap_or_default()
}

fn number(info: &InfoDict, name: &str) -> u64 {
    info.get(name).unwrap_or_default()
}

fn software(info: &InfoDict) -> Finding {
    let name = if text(info, "server_name") == "valkey" { "Valkey" } else { "Redis" };
    let spoken = text(info, "redis_version");
    let own = if name == "Valkey" { text(info, "valkey_version") } else { spoken.clone() };
    if version(&spoken) < (6, 2, 0) {
        let risk = "commands that it doesn't know fail, and tasks can't be taken";
        return Finding::danger("version", format!("{name} {own}, older than 6.2"), risk)
            .mend("upgrade the server to 6.2 or newer");
    }
    Finding::ok("version", format!("{name} {own}"))
}

fn role(info: &InfoDict, part: Part) -> Finding {
    if text(info, "role") != "slave" {
        return Finding::ok("role", "primary");
    }
    if part == Part::OfMany {
        return match text(info, "master_link_status").as_str() {
            "up" => Finding::ok("role", "replica"),
            _ => {
                Finding::warning("role", "a replica cut off from its primary", "it can't take its primary's place well")
                    .mend("look into the server's log")
            }
        };
    }
    let primary = format!("{}:{}", text(info, "master_host"), text(info, "master_port"));
    Finding::danger("role", format!("a replica of {primary}, read-only"), "nothing can be enqueued or taken here")
        .mend(format!("--broker redis://{primary}"))
}

const ALWAYS: &str = "redis-cli CONFIG SET appendfsync always && redis-cli CONFIG REWRITE";

fn persistence(info: &InfoDict, settings: &Settings) -> Finding {
    let about = "persistence";
    if number(info, "aof_enabled") == 0 {
        let (found, risk) = match settings.save.as_deref() {
            Some("") => ("appendonly no, no snapshots".to_owned(), "a server that ends loses every task and result"),
            Some(save) => (
                format!("appendonly no, snapshots by \"{save}\""),
                "a server that is killed loses what it accepted since its last snapshot",
            ),
            None => (
                "appendonly no; CONFIG is refused, so snapshots can't be seen".to_owned(),
                "a server that ends may lose every task",
            ),
        };
        return Finding::danger(about, found, risk)
            .mend("redis-cli CONFIG SET appendonly yes && redis-cli CONFIG REWRITE");
    }
    match settings.fsync.as_deref() {
        Some("always") => Finding::ok(about, "appendonly yes, appendfsync always"),
        Some("everysec") => {
            let risk = "a killed server loses nothing; a machine that loses power loses up to the last two seconds";
            Finding::warning(about, "appendonly yes, appendfsync everysec", risk).mend(ALWAYS)
        }
        Some(other) => {
            let risk = "a machine that loses power loses what the kernel had not written yet: up to half a minute";
            Finding::warning(about, format!("appendonly yes, appendfsync {other}"), risk).mend(ALWAYS)
        }
        None => {
            let risk = "a machine that loses power may lose the last seconds";
            Finding::warning(about, "appendonly yes; CONFIG is refused, so appendfsync can't be seen", risk)
                .mend("ask whoever runs the server for appendfsync always, or allow this user +config|get")
        }
    }
}

/// The disk lets the server down.
fn trouble(info: &InfoDict) -> Option<Finding> {
    let failed = |name: &&str| info.get::<String>(name).is_some_and(|status| status == "err");
    let states = ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"];
    let what = states.iter().find(|name| failed(name))?;
    let risk = "what the server accepts does not reach its disk, or soon no longer will";
    Some(
        Finding::danger("disk", format!("{what} is err"), risk)
            .mend("look into the server's log; make room on its disk"),
    )
}

fn memory(info: &InfoDict) -> Finding {
    let (policy, most, used) = (text(info, "maxmemory_policy"), number(info, "maxmemory"), number(info, "used_memory"));
    let size = |bytes| bytesize::ByteSize(bytes).to_string();
    let mend = "redis-cli CONFIG SET maxmemory-policy noeviction && redis-cli CONFIG REWRITE";
    match (policy.as_str(), most) {
        ("noeviction", 0) => Finding::note(
            "memory",
            format!("{} used, no maxmemory: the kernel may end a server that grows", size(used)),
        ),
        ("noeviction", most) if used >= most / 10 * 9 => {
            let found = format!("{} of maxmemory {} used", size(used), size(most));
            Finding::warning("memory", found, "once it is full nothing can be enqueued; what is there stays")
                .mend("redis-cli CONFIG SET maxmemory SIZE, or work off what waits")
        }
        ("noeviction", most) => Finding::ok("memory", format!("noeviction, {} of {} used", size(used), size(most))),
        (policy, 0) => {
            let risk = "once somebody sets maxmemory, the server throws away tasks when it is full";
            Finding::warning("memory", format!("maxmemory-policy {policy}, no maxmemory"), risk).mend(mend)
        }
        (policy, most) => {
            let found = format!("maxmemory-policy {policy}, {} of {} used", size(used), size(most));
            Finding::danger("memory", found, "a server that is full throws away tasks, results and leases").mend(mend)
        }
    }
}

fn replicas(info: &InfoDict, part: Part) -> Finding {
    match number(info, "connected_slaves") {
        _ if text(info, "role") == "slave" => Finding::ok("replicas", "none of its own"),
        0 if part == Part::OfMany => {
            let risk =
                "nobody takes its place when it ends; until it is back, nothing can be enqueued to its queues or taken";
            let mend = match text(info, "redis_mode").as_str() {
                "cluster" => "redis-cli --cluster add-node NEW_HOST:PORT HOST:PORT --cluster-slave",
                _ => "on another server: redis-cli REPLICAOF HOST PORT",
            };
            Finding::warning("replicas", "none: the server's disk is the only copy", risk).mend(mend)
        }
        0 => Finding::note("replicas", "none: the server's disk is the only copy"),
        replicas => Finding::note(
            "replicas",
            format!(
                "{replicas}: they follow a moment later, so a failover may lose what was accepted last, but for wait_replicas=N"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::finding::Severity;

    fn levels(changes: &[(&str, &str)], fsync: Option<&str>, part: Part) -> Vec<(&'static str, Severity)> {
        let good = [
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("role", "master"),
            ("aof_enabled", "1"),
            ("aof_last_write_status", "ok"),
            ("maxmemory", "1000"),
            ("used_memory", "100"),
            ("maxmemory_policy", "noeviction"),
        ];
        let lines = good.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).chain(changes);
        let info: String = lines.map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let settings = Settings { fsync: fsync.map(Into::into), save: Some(String::new()) };
        let findings = look(&InfoDict::new(&info), &settings, part);
        let bad = findings.into_iter().filter(|finding| finding.level > Severity::Note);
        bad.inspect(|finding| assert!(finding.risk.is_some() && finding.mend.is_some(), "{finding:?}"))
            .map(|finding| (finding.about, finding.level))
            .collect()
    }

    #[test]
    fn whatever_may_lose_tasks_is_told() {
        use Severity::{Danger, Warning};
        let always = Some("always");
        assert_eq!(levels(&[], always, Part::Alone), []);
        for (changes, fsync, expected) in [
            (&[("aof_enabled", "0")][..], always, ("persistence", Danger)),
            (&[], Some("everysec"), ("persistence", Warning)),
            (&[], Some("no"), ("persistence", Warning)),
            (&[], None, ("persistence", Warning)),
            (&[("redis_version", "6.0.16")], always, ("version", Danger)),
            (&[("role", "slave"), ("master_host", "h"), ("master_port", "1")], always, ("role", Danger)),
            (&[("maxmemory_policy", "allkeys-lru")], always, ("memory", Danger)),
            (&[("maxmemory_policy", "volatile-ttl"), ("maxmemory", "0")], always, ("memory", Warning)),
            (&[("used_memory", "950")], always, ("memory", Warning)),
            (&[("aof_last_write_status", "err")], always, ("disk", Danger)),
            (&[("rdb_last_bgsave_status", "err")], always, ("disk", Danger)),
        ] {
            assert_eq!(levels(changes, fsync, Part::Alone), [expected], "{changes:?} {fsync:?}");
        }
        for (changes, expected) in [
            (&[][..], &[("replicas", Warning)][..]),
            (&[("connected_slaves", "1")], &[]),
            (&[("role", "slave"), ("master_link_status", "up")], &[]),
            (&[("role", "slave"), ("master_link_status", "down")], &[("role", Warning)]),
        ] {
            assert_eq!(levels(changes, always, Part::OfMany), expected, "{changes:?}");
        }
    }
}
