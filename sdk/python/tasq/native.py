"""Stands in for the host where a handler runs in an ordinary Python, as in its unit test.

What the handler did is in `logged`, `progressed` and `enqueued`; what it finds is in `settings` and `stored`.
Nothing expires, and no time runs out."""

import enum
from dataclasses import dataclass
from types import SimpleNamespace

settings: dict[str, str] = {}
stored: dict[str, bytes] = {}
logged: list[tuple[str, str, dict[str, str]]] = []
progressed: list[tuple[int, str]] = []
enqueued: list["NewTask"] = []


class Err(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


class FailureKind(enum.Enum):
    RETRY, DISCARD, SNOOZE = range(3)


class Level(enum.Enum):
    TRACE, DEBUG, INFO, WARN, ERROR = range(5)


class ErrorKind(enum.Enum):
    DENIED, INVALID, TOO_LARGE, TOO_MANY, CONFLICT, UNAVAILABLE, OTHER = range(7)


@dataclass
class Header:
    name: str
    value: str


@dataclass
class Failure:
    kind: FailureKind
    message: str
    code: str
    retry_after_ms: int


@dataclass
class HostError:
    kind: ErrorKind
    message: str


@dataclass
class NewTask:
    handler: str
    payload: bytes
    content_type: str
    queue: str
    delay_ms: int
    unique_key: str
    headers: list[Header]
    options: list[Header]


def _logs(level, message, fields):
    logged.append((level.name.lower(), message, {f.name: f.value for f in fields}))


def _enqueue(task):
    enqueued.append(task)
    return f"task-{len(enqueued)}"


def _put(key, value, ttl_ms):
    stored[key] = value


def _replace(key, expected, value, ttl_ms):
    matches = stored.get(key) == expected
    if matches:
        stored[key] = value
    return matches


def _increment(key, by, ttl_ms):
    try:
        value = int(stored.get(key, b"0")) + by
    except ValueError:
        raise Err(HostError(ErrorKind.INVALID, f"{key} holds no number")) from None
    stored[key] = str(value).encode()
    return value


def _remove(key):
    stored.pop(key, None)


_types = SimpleNamespace(FailureKind=FailureKind, Failure=Failure, Header=Header, Task=object)
_config = SimpleNamespace(get=settings.get)
_context = SimpleNamespace(remaining_ms=lambda: 30_000, stopping=lambda: None, progress=lambda percent, note: progressed.append((percent, note)))
_log = SimpleNamespace(Level=Level, enabled=lambda level: True, log=_logs)
_producer = SimpleNamespace(NewTask=NewTask, enqueue=_enqueue)
_store = SimpleNamespace(get=stored.get, put=_put, replace=_replace, increment=_increment, remove=_remove)
