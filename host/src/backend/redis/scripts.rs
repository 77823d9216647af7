//! The scripts: each is a file, behind the limits and the parts that it shares with others.

use std::sync::LazyLock;

use super::call::Script;

use super::layout::PARTS;
use crate::broker::{HISTORY, UPSTREAM};
use crate::results::{KEEP_DEAD, KEEP_DONE, RETENTION};
use crate::store::{BYTES, KEYS};
use crate::task::millis;

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
    ADVANCE = "plan_value" "advance",
    ANNOUNCE = "announce",
    CANCEL = "accept" "arrivals" "keep" "ends" "cancel",
    CLAIM = "claim",
    CONFIGURE = "configure",
    DELETE = "delete",
    DELIVERED = "delivered",
    DEPTHS = "depths",
    ENDED = "ended",
    EXTEND = "extend",
    FOLLOW_UPS = "follow_ups",
    GET = "standing" "get",
    HOLD = "hold",
    HOLDS = "holds",
    INBOX = "inbox",
    OUTBOX = "outbox",
    OUTDO = "keep" "outdo",
    PLAN = "plan_value" "plan",
    PLANS = "plans",
    PUSH = "accept" "arrivals" "push",
    QUEUES = "queues",
    RAN_OUT = "ran_out",
    RECORD = "keep" "record",
    RELAYED = "relayed",
    RELEASE = "release",
    REMOVE = "remove",
    RESULTS = "results",
    REVIVE = "revive",
    SCAN = "scan",
    SETTLE = "accept" "arrivals" "keep" "ends" "settle",
    STORE = "store",
    TELL = "tell",
    TICK = "accept" "plan_value" "tick",
    UNPLAN = "unplan",
    WORKERS = "workers",
}

fn script(parts: &[&str]) -> Script {
    let retention = millis(RETENTION);
    let count = PARTS.len();
    // Written out, so that Lua makes the table in its size at once: that is half of what a script begins with.
    let keys: String = PARTS.iter().enumerate().map(|(at, part)| format!(", {part} = KEYS[first + {at}]")).collect();
    let limits = format!(
        "local KEEP_DONE, KEEP_DEAD, RETENTION, HISTORY, FAR = {KEEP_DONE}, {KEEP_DEAD}, {retention}, {HISTORY}, {FAR}\n\
         local UPSTREAM, STORE_KEYS, STORE_BYTES, PARTS = {UPSTREAM}, {KEYS}, {BYTES}, {count}\n\
         local function queue_at(first) return {{ lists = {{ {{}}, {{}}, {{}} }}{keys} }} end\n"
    );
    Script::new(limits + &parts.join("\n"))
}
