//! What the servers have used so far, as they tell themselves.

use std::time::Duration;

use redis::{InfoDict, cmd};

use super::super::Usage;
use super::super::url::RedisOptions;
use super::Time;
use super::link::Link;
use crate::error::Result;

/// Asks over connections of its own.
pub(crate) async fn usage(options: &RedisOptions) -> Result<Option<Usage>> {
    let link = Link::open(options, Time::Server).await?;
    let mut sum = Usage { cpu: Duration::ZERO, memory_bytes: 0 };
    for node in link.nodes().await? {
        let Some(its) = read(&link.ask(&node, &cmd("INFO")).await?) else { return Ok(None) };
        sum = Usage { cpu: sum.cpu + its.cpu, memory_bytes: sum.memory_bytes + its.memory_bytes };
    }
    Ok(Some(sum))
}

/// None where the server keeps it to itself.
fn read(info: &InfoDict) -> Option<Usage> {
    let seconds = |name| info.get::<f64>(name).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let cpu = seconds("used_cpu_user")? + seconds("used_cpu_sys")?;
    Some(Usage { cpu, memory_bytes: info.get("used_memory")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_tells_is_read() {
        let info = "used_memory:1024\r\nused_cpu_sys:0.25\r\nused_cpu_user:1.5\r\n";
        let usage = Usage { cpu: Duration::from_millis(1_750), memory_bytes: 1_024 };
        assert_eq!(read(&InfoDict::new(info)), Some(usage));
        assert_eq!(read(&InfoDict::new("used_memory:1024\r\n")), None);
        assert_eq!(read(&InfoDict::new(&info.replace("1.5", "-1"))), None);
    }
}
