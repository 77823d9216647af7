"""What tests/tests/languages.rs asks of every language: one operation a call, each part of tasq used once."""

import dataclasses
import logging
import random

import handler as sample
import tasq
from tasq import Discard, Retry, Snooze, Task, handler


@handler
def probe(payload: dict, task: Task) -> object:
    match payload.get("op"):
        case "task":
            return {**dataclasses.asdict(task), "upstream": [u.decode() for u in task.upstream]}
        case "size":
            return {"size": len(payload["pad"])}
        case "big":
            return b"x" * payload["size"]
        case "random":
            return random.random()
        case "none":
            return None
        case "log":
            tasq.log.warn("Größe 🙂", **{"user.id": "Zoë"})
            logging.getLogger("lib").info("through %s", "logging")
            return {"trace": tasq.log.enabled("trace"), "error": tasq.log.enabled("error")}
        case "context":
            tasq.context.progress(50, "half ✓")
            return {"remaining": tasq.context.remaining(), "stopping": tasq.context.stopping()}
        case "config":
            return {"present": tasq.config.get("GREETING"), "absent": tasq.config.get("NOPE")}
        case "enqueue":
            new = tasq.enqueue("mail", {"to": "Zoë"}, queue="low", delay=5, headers={"a": "b"}, priority="high")
            try:
                tasq.enqueue("forbidden", b"raw")
            except tasq.HostError as e:
                return {"id": new, "error": e.kind, "message": e.message}
        case "store":
            return store()
        case "decrement":
            return tasq.store.increment("down", -50)
        case "boom":
            return boom(payload["message"])
        case "discard":
            raise Discard("no such user", code="no-user")
        case "retry":
            raise Retry("slow down", code="rate-limited", after=30)
        case "snooze":
            raise Snooze(60, "closed")
        case "deep":
            return deep(0)
        case None:
            return sample.add(sample.Numbers(payload["arg1"], payload["arg2"]))
        case op:
            raise Discard(f"unknown op {op}")


def store():
    s = tasq.store
    s.put("k", "ü".encode(), ttl=60)
    seen = [s.get("nothing"), s.get("k").decode(), s.replace("k", None, b"x"), s.replace("k", "ü".encode(), b""), s.get("k").decode()]
    seen += [s.replace("new", None, b"one", ttl=1), s.increment("n", 41), s.increment("n")]
    s.remove("k")
    seen.append(s.get("k"))
    for call in (lambda: s.get("forbidden"), lambda: s.put("forbidden", b""), lambda: s.increment("new")):
        try:
            call()
        except tasq.HostError as e:
            seen.append(e.kind)
    return seen


def boom(message):
    raise RuntimeError(message)


def deep(n):
    return deep(n + 1) + 1
