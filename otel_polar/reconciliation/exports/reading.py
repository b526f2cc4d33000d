"""A provider's export, whichever it is: recognised, checked, and summed up by day and model.

Usage that is counted twice is worse than none: a file that is given twice, a row that is in two files, and a page
without the one that follows it are refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from otel_polar.reconciliation.exports import anthropic, openai
from otel_polar.reconciliation.exports.form import ExportFormatError
from otel_polar.reconciliation.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from otel_polar.reconciliation.exports.form import Form

_JSON_FORMS: Final = (openai.USAGE, openai.COSTS_JSON, anthropic.USAGE_JSON, anthropic.COSTS_JSON)
_CSV_FORMS: Final = (openai.USAGE, openai.COSTS_CSV, anthropic.USAGE_CSV, anthropic.COSTS_CSV)
_BUCKET: Final = frozenset({"object", "start_time", "end_time", "start_time_iso", "end_time_iso"}) | {
    *("starting_at", "ending_at")
}
_BYTE_ORDER_MARK: Final = "\ufeff"


@dataclass(slots=True)
class Exports:
    """What some files tell, by provider."""

    usage: dict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    forms: list[str] = field(default_factory=list)
    """Which form each file has, in words."""


@dataclass(slots=True)
class _File:
    name: str
    rows: list[dict[str, Any]]
    days: list[dict[str, Any]]
    columns: set[str]
    forms: Sequence[Form]
    has_more: bool = False


def read_exports(files: Sequence[tuple[str, str]]) -> Exports:
    """Sum up files, each a name and its text.

    Raises:
        ExportFormatError: if one is in no known form, or something would be counted twice or not at all.
    """
    exports = Exports()
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    unfinished: Counter[str] = Counter()
    pages: Counter[str] = Counter()
    tellers: dict[tuple[str, date, str], str] = {}
    for number, (name, text) in enumerate(files):
        file = _read(name, text)
        form = _recognise(file)
        exports.forms.append(f"{name}: {form.name}")
        _check_twice(file, form, number, seen)
        pages[form.name] += 1
        unfinished[form.name] += file.has_more
        usage = _sum(file, form)
        _check_forms(name, form, usage, tellers)
        exports.usage[form.provider].merge(usage)
    for form_name, count in unfinished.items():
        if count and count == pages[form_name]:
            raise ExportFormatError(
                f"{form_name}: the last page is missing ('has_more' is true): ask for the next one with its"
                " 'next_page', and give all of them"
            )
    return exports


def _read(name: str, text: str) -> _File:
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if text.lstrip().startswith("{"):
        try:
            told = json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise ExportFormatError(f"{name} is no JSON: {error}") from error
        return _read_json(name, told)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        rows = list(reader)
    except csv.Error as error:
        raise ExportFormatError(f"{name} is no CSV: {error}") from error
    if any(None in row or None in row.values() for row in rows):
        raise ExportFormatError(f"{name}: a row has not as many cells as there are columns")
    if len(set(reader.fieldnames)) < len(reader.fieldnames):
        raise ExportFormatError(f"{name} has a column twice")
    return _File(name, rows, rows, set(reader.fieldnames), _CSV_FORMS)


def _read_json(name: str, told: Mapping[str, Any]) -> _File:
    buckets = told.get("data")
    if not isinstance(buckets, list) or not all(
        isinstance(bucket, dict) and _are_objects(bucket.get("results", bucket.get("result"))) for bucket in buckets
    ):
        raise ExportFormatError(f"{name} has no 'data' with 'results', as usage reports have: {_expected(_JSON_FORMS)}")
    rows, days = [], []
    for bucket in buckets:
        frame = {key: bucket[key] for key in _BUCKET if key in bucket and key != "object"}
        days.append(frame)
        rows += [{**frame, **dict(_flat(result))} for result in bucket.get("results", bucket.get("result"))]
    columns = {column for row in rows for column in row} or {column for day in days for column in day}
    return _File(name, rows, days, columns, _JSON_FORMS, told.get("has_more") is True)


def _are_objects(results: Any) -> bool:
    return isinstance(results, list) and all(isinstance(result, dict) for result in results)


def _flat(result: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _recognise(file: _File) -> Form:
    found = [form for form in file.forms if form.required <= file.columns]
    if not found:
        if not file.rows:
            raise ExportFormatError(f"{file.name} has no usage in it: nothing can be compared")
        raise ExportFormatError(
            f"{file.name} is no export in a known form. It has the columns {', '.join(sorted(file.columns))}; expected:"
            f" {_expected(file.forms)}"
        )
    form = found[0]
    risky, _ = form.unknown(file.columns)
    if risky:
        raise ExportFormatError(
            f"{file.name} looks like {form.name}, with columns that are not known and may hold usage:"
            f" {', '.join(risky)}. Known are {', '.join(sorted(form.columns))}. Is a newer otel-polar needed for it?"
        )
    return form


def _expected(forms: Sequence[Form]) -> str:
    return "; or ".join(f"{form.name} with {', '.join(sorted(form.required))}" for form in forms)


def _check_twice(file: _File, form: Form, number: int, seen: dict[tuple[str, str], tuple[int, str]]) -> None:
    for row in file.rows:
        place = json.dumps(
            {
                key: str(row[key])
                for key in row
                if (key in form.dimensions | {form.begin} or key in {"model", "model_version", "line_item"})
                # What CSV leaves empty JSON may leave out.
                and row[key] not in (None, "")
            },
            sort_keys=True,
        )
        other, name = seen.setdefault((form.name, place), (number, file.name))
        if other != number:
            raise ExportFormatError(
                f"{file.name} and {name} tell of the same usage ({form.begin} {row.get(form.begin)})"
            )


def _check_forms(name: str, form: Form, usage: Usage, tellers: dict[tuple[str, date, str], str]) -> None:
    """Refuse the same count of a day in two forms: the console's CSV beside the answer of the API, for example."""
    for day, _ in usage.sums:
        for count in sorted(usage.told):
            other = tellers.setdefault((form.provider, day, count), form.name)
            if other != form.name:
                raise ExportFormatError(f"{name}: {form.name} and {other} both tell of {day}; give one of them")


def _sum(file: _File, form: Form) -> Usage:
    usage = Usage(told={count for count, columns in form.counts.items() if file.columns & set(columns)})
    _, others = form.unknown(file.columns)
    if others:
        usage.notes.append(f"{file.name}: the columns {', '.join(others)} are not known and were passed over")
    if any(_is_something(row.get(column)) for row in file.rows for column in form.told_apart):
        usage.notes.append(f"{file.name}: there are tokens of audio or images, which may not be part of its totals")
    for number, row in enumerate(file.rows, 1):
        try:
            counts, day, model = form.read(row), form.day(row), form.model_of(row)
        except ValueError as error:
            raise ExportFormatError(f"{file.name}, row {number}: {error}") from error
        if model is not None and not isinstance(model, str):
            raise ExportFormatError(f"{file.name}, row {number}: {model!r} is no name of a model")
        if model is not None:
            usage.add((day, model), counts)
        elif any(counts.values()):
            raise ExportFormatError(
                f"{file.name}, row {number} has usage and names no model: export it again, grouped by model (OpenAI's"
                " costs by line_item, Anthropic's by description)"
            )
    usage.days = {form.day(day) for day in file.days}
    if file.forms is _CSV_FORMS and usage.days:
        # It has no row for a day without usage; that it tells of those before and after is enough.
        first, last = min(usage.days), max(usage.days)
        usage.days = {first + timedelta(days=number) for number in range((last - first).days + 1)}
    usage.told_on = {day: set(usage.told) for day in usage.days}
    return usage


def _is_something(value: Any) -> bool:
    return value not in (None, "", "0", "0.0", 0)
