"""Whatever a test is about: no line of our log may hold an access token, a customer's id or content."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.delivery.deciding.call_reader import CallReader
from otel_polar.delivery.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_polar.billing.call import ModelCall, TagValue
    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.span import SpanRecord

TOKEN: Final = re.compile(r"polar_(?:oat|pat)_\w+")
WORD: Final = re.compile(r"[\w.@+-]{3,}")
CONTENT_KEY: Final = re.compile(r"messages|prompt|completion|content|instructions|(input|output)\.value")
CONTENT_CHARACTERS: Final = 12
"""Shorter values, such as "text", are not content by themselves; of longer ones the beginning is looked for."""


class Confidential:
    """Who paid in a test, and what was said in its calls."""

    def __init__(self) -> None:
        self.customers: set[str] = set()
        self.contents: set[str] = set()

    def forget(self) -> None:
        """The next test has other names, which may be words of ours."""
        self.customers.clear()
        self.contents.clear()

    def see_record(self, record: str) -> None:
        """A call is written down."""
        customer = json.loads(record)["customer"]
        ids = (customer.get(key) for key in ("id", "external_id", "member_id"))
        self.customers.update(each for each in ids if each)

    def see_span(self, span: SpanRecord) -> None:
        """A span has ended."""
        for key, value in span.attributes.items():
            if CONTENT_KEY.search(key) and isinstance(value, str) and len(value) >= CONTENT_CHARACTERS:
                self.contents.add(value[: 2 * CONTENT_CHARACTERS])

    def found_in(self, line: str) -> list[str]:
        """What a line of the log should not say."""
        found = TOKEN.findall(line)
        found += self.customers.intersection(WORD.findall(line))
        return found + [content for content in self.contents if content in line]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.add(self.format(record))


FLEET: Final = ("collector", "kafka", "nodejs")
"""Directories whose tests take minutes, and programs that are built or fetched first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in those directories, before it is decided what runs."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in FLEET:
            item.add_marker("fleet")


@pytest.fixture(scope="session")
def confidential() -> Iterator[Confidential]:
    """What passes through any pipeline."""
    confidential = Confidential()
    record, commit, read = Pipeline._record, Pipeline.commit, CallReader.read_call

    def seen_record(pipeline: Pipeline, line: str) -> None:
        confidential.see_record(line)
        record(pipeline, line)

    def seen_commit(pipeline: Pipeline, calls: Sequence[str]) -> None:
        for call in calls:
            confidential.see_record(call)
        commit(pipeline, calls)

    def seen_read(
        reader: CallReader,
        span: SpanRecord,
        customer: Customer | Unattributed,
        tags: Mapping[str, TagValue],
    ) -> ModelCall | None:
        confidential.see_span(span)
        return read(reader, span, customer, tags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "_record", seen_record)
        patch.setattr(Pipeline, "commit", seen_commit)
        patch.setattr(CallReader, "read_call", seen_read)
        yield confidential


@pytest.fixture(autouse=True)
def nothing_confidential_is_logged(confidential: Confidential) -> Iterator[None]:
    """Logs go to places that nobody guards."""
    confidential.forget()
    handler = _Lines()
    logging.getLogger("otel_polar").addHandler(handler)
    yield
    logging.getLogger("otel_polar").removeHandler(handler)
    for line in handler.lines:
        assert not (found := confidential.found_in(line)), f"{found} in the log: {line}"
