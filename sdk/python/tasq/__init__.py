"""A tasq handler as a plain function.

    @handler
    def add(payload: Numbers, task: Task) -> Sum: ...

The payload arrives as the type it is annotated with: bytes as they are, anything
else from JSON, dataclasses with their fields checked. What doesn't fit is discarded.
The value returned goes out the same way. Any exception is a retry; raise Discard,
Retry or Snooze to say otherwise. Durations are seconds or timedeltas.
"""

import dataclasses
import inspect
import json
import logging
import traceback
import types
import typing
from dataclasses import dataclass
from datetime import timedelta

try:
    from componentize_py_types import Err
    from wit_world.imports import config as _config
    from wit_world.imports import context as _context
    from wit_world.imports import log as _log
    from wit_world.imports import producer as _producer
    from wit_world.imports import store as _store
    from wit_world.imports import types as _types
except ModuleNotFoundError:  # an ordinary Python: a unit test
    from tasq.native import Err, _config, _context, _log, _producer, _store, _types

Duration = float | timedelta


@dataclass(frozen=True)
class Task:
    id: str
    handler: str
    queue: str
    attempt: int
    run: int
    max_retries: int
    content_type: str
    enqueued_at_ms: int
    due_at_ms: int
    deadline_ms: int
    headers: dict[str, str]
    upstream: list[bytes]


class Failure(Exception):
    """Says what becomes of the task. Raise one of the three below."""

    kind = _types.FailureKind.RETRY

    def __init__(self, message: str, *, code: str = "", after: Duration = 0):
        super().__init__(message)
        self.code, self.after = code, after


class Retry(Failure):
    """Try again while retries are left, `after` a time or the task's own backoff."""


class Discard(Failure):
    """Never try again."""

    kind = _types.FailureKind.DISCARD


class Snooze(Failure):
    """Not now: run again `after` a time, which costs no retry."""

    kind = _types.FailureKind.SNOOZE

    def __init__(self, after: Duration, message: str = "", *, code: str = ""):
        super().__init__(message, code=code, after=after)


class HostError(Exception):
    """The host refused. kind: denied, invalid, too-large, too-many, conflict, unavailable or other."""

    def __init__(self, kind: str, message: str):
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


def handler(function):
    """Makes a function the handler of its module."""
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function)
    kind = hints.get(next(iter(parameters), ""), typing.Any)
    raw, convert = kind is bytes, _converter(kind)

    def run(payload: bytes, task: _types.Task) -> bytes:
        try:
            argument = payload if raw else convert(_from_json(payload), "payload")
        except (ValueError, RecursionError) as e:
            raise Discard(f"invalid payload: {e}", code="invalid-payload") from e
        return _to_bytes(function(argument, _task(task)) if len(parameters) > 1 else function(argument))

    class Handler:
        def handle(self, payload: bytes, task: _types.Task) -> bytes:
            try:
                return run(payload, task)
            except Failure as e:
                raise _err(e.kind, str(e), e.code, e.after) from None
            except BaseException as e:  # SystemExit as well: it would be a trap
                raise _err(_types.FailureKind.RETRY, _described(e), type(e).__name__) from None

    function.__globals__["Handler"] = Handler  # where componentize-py looks for it
    return function


def enqueue(
    handler: str,
    payload: object = b"",
    *,
    queue: str = "",
    content_type: str | None = None,
    delay: Duration = 0,
    unique_key: str = "",
    headers: dict[str, str] | None = None,
    **options: object,
) -> str:
    """Follows this run up with another task once it has succeeded. Returns the id it will have.

    Options are named as in the batch format: priority, max_retries, timeout and so on."""
    if content_type is None:
        content_type = "" if isinstance(payload, bytes) else "application/json"
    task = _producer.NewTask(
        _text(handler),
        _to_bytes(payload),
        _text(content_type),
        _text(queue),
        _ms(delay),
        _text(unique_key),
        _headers(headers or {}),
        _headers(options),
    )
    return _call(_producer.enqueue, task)


class context:
    @staticmethod
    def remaining() -> float:
        """Seconds until the host stops this run."""
        return _context.remaining_ms() / 1000

    @staticmethod
    def stopping() -> str | None:
        """cancelled or shutting-down: finish early."""
        stop = _context.stopping()
        return None if stop is None else _kebab(stop)

    @staticmethod
    def progress(percent: int, note: str = "") -> None:
        _context.progress(max(0, min(percent, 100)), _text(note))


class config:
    @staticmethod
    def get(name: str, default: str | None = None) -> str | None:
        value = _config.get(_text(name))
        return default if value is None else value


class store:
    @staticmethod
    def get(key: str) -> bytes | None:
        return _call(_store.get, _text(key))

    @staticmethod
    def put(key: str, value: bytes, *, ttl: Duration = 0) -> None:
        """A `ttl` of 0 keeps the value until it is removed."""
        _call(_store.put, _text(key), _bytes(value), _ms(ttl))

    @staticmethod
    def replace(key: str, expected: bytes | None, value: bytes, *, ttl: Duration = 0) -> bool:
        """Writes only where the key holds `expected`; None expects it to be absent. A `ttl` of 0 keeps the present one."""
        return _call(_store.replace, _text(key), None if expected is None else _bytes(expected), _bytes(value), _ms(ttl))

    @staticmethod
    def increment(key: str, by: int = 1, *, ttl: Duration = 0) -> int:
        """The value is a decimal number; a `ttl` of 0 keeps the present one."""
        return _call(_store.increment, _text(key), by, _ms(ttl))

    @staticmethod
    def remove(key: str) -> None:
        _call(_store.remove, _text(key))


class log:
    """log.info("sent", to=address). The logging module ends up in the same place."""

    @staticmethod
    def enabled(level: str) -> bool:
        return _log.enabled(_log.Level[level.upper()])

    @staticmethod
    def trace(message: str, **fields: object) -> None:
        _log.log(_log.Level.TRACE, _text(message), _headers(fields))

    @staticmethod
    def debug(message: str, **fields: object) -> None:
        _log.log(_log.Level.DEBUG, _text(message), _headers(fields))

    @staticmethod
    def info(message: str, **fields: object) -> None:
        _log.log(_log.Level.INFO, _text(message), _headers(fields))

    @staticmethod
    def warn(message: str, **fields: object) -> None:
        _log.log(_log.Level.WARN, _text(message), _headers(fields))

    @staticmethod
    def error(message: str, **fields: object) -> None:
        _log.log(_log.Level.ERROR, _text(message), _headers(fields))


class _ToHost(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write = log.debug if record.levelno < 20 else log.info if record.levelno < 30 else log.warn if record.levelno < 40 else log.error
        write(self.format(record), logger=record.name)


logging.basicConfig(level=logging.DEBUG, format="%(message)s", handlers=[_ToHost()])


def _converter(kind):
    """A function (value, where) that returns a JSON value as `kind`, or raises ValueError."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)

    def wrong(value, where):
        raise ValueError(f"{where} must be {getattr(kind, '__name__', kind)}, not {type(value).__name__}")

    if kind in (typing.Any, object):
        return lambda value, where: value
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = [(f.name, _converter(hints[f.name]), _required(f)) for f in dataclasses.fields(kind) if f.init]

        def convert(value, where):
            if type(value) is not dict:
                wrong(value, where)
            if missing := [name for name, _, required in fields if required and name not in value]:
                raise ValueError(f"{where}.{missing[0]} is missing")
            return kind(**{name: inner(value[name], f"{where}.{name}") for name, inner, _ in fields if name in value})

    elif origin in (typing.Union, types.UnionType):
        inners = [_converter(arg) for arg in args]

        def convert(value, where):
            for inner in inners:
                try:
                    return inner(value, where)
                except ValueError:
                    continue
            wrong(value, where)

    elif origin is list:
        inner = _converter(args[0])

        def convert(value, where):
            return [inner(v, f"{where}[{i}]") for i, v in enumerate(value)] if type(value) is list else wrong(value, where)

    elif origin is dict:
        inner = _converter(args[1])

        def convert(value, where):
            return {k: inner(v, f"{where}.{k}") for k, v in value.items()} if type(value) is dict else wrong(value, where)

    else:
        accepted = (float, int) if kind is float else (kind,)  # and no bool for an int

        def convert(value, where):
            return value if type(value) in accepted else wrong(value, where)

    return convert


def _required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _from_json(payload):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(payload.decode(), parse_constant=refuse)


def _to_bytes(value):
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dataclasses.asdict).encode()


def _task(task):
    return Task(**{**vars(task), "headers": {h.name: h.value for h in task.headers}})


def _err(kind, message, code, after=0):
    return Err(_types.Failure(kind, _text(message), _text(code), _ms(after)))


def _described(e):
    """The error first, since the host cuts a long message, then its innermost frames.

    Not traceback.format_exc: that looks for the sources, and there are no files."""
    frames = [f"  {f.f_code.co_filename}:{line} in {f.f_code.co_name}" for f, line in traceback.walk_tb(e.__traceback__)]
    return "\n".join([f"{type(e).__name__}: {e}", *frames[2:][-20:]])  # without the two of this file


def _call(function, *args):
    try:
        return function(*args)
    except Err as e:
        raise HostError(_kebab(e.value.kind), e.value.message) from None


def _kebab(value):
    return value.name.lower().replace("_", "-")


def _headers(fields):
    return [_types.Header(_text(name), _text(value)) for name, value in fields.items()]


def _bytes(value):
    """A str would be a trap."""
    return bytes(memoryview(value))


def _text(value):
    """A lone surrogate in a string would be a trap."""
    return str(value).encode(errors="replace").decode()


def _ms(duration):
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return round(1000 * max(0, min(seconds, 1e15)))
