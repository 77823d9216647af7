"""A handler made from wit/ alone, by componentize-py: nothing of sdk/python is in it."""

import json

from componentize_py_types import Err
from wit_world.imports import config, context, log, store
from wit_world.imports.types import Failure, FailureKind, Header


class Handler:
    def handle(self, payload, task):
        try:
            numbers = json.loads(payload)
            total = numbers["arg1"] + numbers["arg2"]
        except (ValueError, KeyError, TypeError) as e:
            raise Err(Failure(FailureKind.DISCARD, "expected arg1 and arg2", "invalid-payload", 0)) from e
        log.log(log.Level.WARN, "größer", [Header("attempt", str(task.attempt))])
        context.progress(50, "half")
        try:
            store.get("x")
            refused = False
        except Err as e:
            refused = "store" in e.value.message
        return json.dumps({"result": total, "greeting": config.get("greeting"), "refused": refused}, separators=(",", ":")).encode()
