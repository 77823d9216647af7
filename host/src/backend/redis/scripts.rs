//! The scripts: each is a file, behind the limits and the parts that it shares with others.

use std::sync::LazyLock;

use redis::Script;

use super::layout::PARTS;
use crate::broker::HISTORY;
use crate::results::{KEEP_DEAD, KEEP_DONE};

/// The latest time that is stored: all integers up to it are exact in Lua, sums of it and a present time too.
pub(super) const FAR: u64 = 9_000_000_000_000_000;

macro_rules! scripts {
    ($($name:ident = $($file:literal)+,)+) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| script(&[include_str!("lua/prelude.lua"), $(include_str!(concat!("lua/", $file, ".lua"))),+]));)+
    };
}

scripts! {
    ABANDON = "abandon",
    ANNOUNCE = "announce",
    CLAIM = "claim",
    DELETE = "delete",
    DELIVERED = "delivered",
    DEPTHS = "depths",
    ENDED = "ended",
    EXTEND = "extend",
    GET = "standing" "get",
    OUTBOX = "outbox",
    PUSH = "accept" "push",
    QUEUES = "queues",
    RECORD = "keep" "record",
    RESULTS = "results",
    SCAN = "standing" "scan",
    SETTLE = "accept" "keep" "settle",
    WORKERS = "workers",
}

fn script(parts: &[&str]) -> Script {
    let limits = format!(
        "local KEEP_DONE, KEEP_DEAD, HISTORY, FAR = {KEEP_DONE}, {KEEP_DEAD}, {HISTORY}, {FAR}\nlocal PARTS = {{ '{}' }}\n",
        PARTS.join("', '")
    );
    Script::new(&(limits + &parts.join("\n")))
}
