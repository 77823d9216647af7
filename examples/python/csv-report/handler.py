"""Sums up a CSV file: teaches raw payloads, a setting, progress, and a result that is text.

The payload is CSV with a header line; the result is CSV again: a line for each value of the column that the setting
`group_by` names (the first one by default), with the count of its rows and the exact sum of every numeric column."""

import csv
import encodings.utf_8_sig  # or decode would look for it at run time, when there are no files
import io
from decimal import Decimal, InvalidOperation

from tasq import Discard, config, context, handler


@handler
def report(payload: bytes) -> bytes:
    try:
        rows = list(csv.DictReader(io.StringIO(payload.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as e:
        raise Discard(f"not CSV in UTF-8: {e}", code="invalid-payload") from e
    if not rows:
        raise Discard("expected a header line and at least one row", code="invalid-payload")
    context.progress(50, f"{len(rows)} rows read")
    return summed_up(rows, config.get("group_by") or next(iter(rows[0]))).encode()


def summed_up(rows: list[dict[str, str]], group_by: str) -> str:
    columns = list(rows[0])
    if group_by not in columns:
        raise Discard(f"expected a column {group_by}, found {', '.join(map(str, columns))}", code="invalid-payload")
    numeric = [c for c in columns if c != group_by and all(number(row[c]) is not None for row in rows)]
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row[group_by] or "", []).append(row)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([group_by, "rows", *numeric])
    for name in sorted(groups):
        lines.writerow([name, len(groups[name]), *(sum(number(row[c]) for row in groups[name]) for c in numeric)])
    return text.getvalue()


def number(text: object) -> Decimal | None:
    """None for what isn't a finite number, a missing cell included."""
    try:
        value = Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        return None
    return value if value.is_finite() else None
