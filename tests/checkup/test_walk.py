"""Specifies the order of the check-up, and that one section cannot spoil the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor
from otel_polar.checkup import walk as walked
from otel_polar.checkup.doctor import doctor
from otel_polar.checkup.finding import Finding, Level, Report
from otel_polar.checkup.sections import SECTIONS
from otel_polar.checkup.walk import Asked, walk
from tests.checkup.support import told, wrong

if TYPE_CHECKING:
    from pathlib import Path


def test_wrong_settings_leave_what_does_not_need_them(tmp_path: Path) -> None:
    """All that can be said is said at once."""
    found = list(walk(Asked(environ={"POLAR_SERVER": "prod", "OTEL_POLAR_OUTBOX_DIR": str(tmp_path)})))

    assert set(wrong(found)) == {"settings.value", "settings.rest"}
    assert {"versions", "settings", "instrumentations"} == {each.section for each in found}


def test_wrong_settings_are_told_although_that_section_was_not_asked_for() -> None:
    """Otherwise the outbox of the defaults would be looked at."""
    found = list(walk(Asked(environ={"POLAR_SERVER": "prod"}, sections={"outbox"})))

    assert set(wrong(found)) == {"settings.value", "settings.rest"}


def test_a_section_that_goes_wrong_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is odd there must not hide what is wrong elsewhere."""

    def fail() -> None:
        raise OSError("odd")

    monkeypatch.setattr(walked, "version_findings", fail)

    found = told(walk(Asked(environ={"OTEL_POLAR_OUTBOX_DIR": str(tmp_path)})))

    assert found["versions.failed"] == "unknown"
    assert found["settings.token"] == "problem"


class _Raises:
    """A provider of another vendor, with nothing of the SDK's in it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


class _Other:
    """One that has something else where the SDK has its processors."""

    class _active_span_processor:  # noqa: N801 - the SDK's name
        _span_processors = 5


@pytest.mark.parametrize("provider", [_Raises, _Other])
def test_a_provider_of_another_vendor_is_a_finding(provider: Any) -> None:
    """It is looked at inside somebody's application, which must not end for that."""
    report = doctor(provider(), sections=("application", "sampling"))

    assert told(report.findings)["application.provider"] == "problem"


def test_no_file_is_read_that_this_process_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where it is another provider's: to close it here would take SQLite's locks from whoever writes it."""
    monkeypatch.setenv("POLAR_ACCESS_TOKEN", "polar_oat_good")
    monkeypatch.setenv("POLAR_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_POLAR_OUTBOX_DIR", str(tmp_path))
    processor = PolarSpanProcessor()
    monkeypatch.setattr("otel_polar.checkup.outbox.OutboxView", None)
    try:
        found = told(doctor(TracerProvider(), sections=("outbox", "prices")).findings)
    finally:
        processor.shutdown()

    assert found["outbox.calls"] == "unknown"
    assert not {"outbox.failed", "prices.failed"} & found.keys()


@pytest.mark.parametrize("section", ["versions", "settings", "prices"])
def test_one_section_can_be_asked_for(section: str, tmp_path: Path) -> None:
    """Each is quick, and Polar is not asked for the others."""
    found = list(walk(Asked(environ={"OTEL_POLAR_OUTBOX_DIR": str(tmp_path)}, sections={section})))

    assert {each.section for each in found} == {section}


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    """Names come from spans, so from anybody."""
    report = Report((Finding("prices.models", Level.PROBLEM, "\x1b[2J of openai", "\r", ("\x07",)),))

    assert not set(str(report)) & {"\x1b", "\r", "\x07"}


def test_every_check_belongs_to_a_section() -> None:
    """Programs ask for them by name."""
    assert len(set(SECTIONS)) == len(SECTIONS)


@pytest.mark.parametrize(
    ("levels", "summary", "is_well"),
    [
        ([], "Nothing is wrong.", True),
        ([Level.WELL, Level.NOTE], "Nothing is wrong.", True),
        ([Level.WARNING], "1 warning.", True),
        ([Level.PROBLEM, Level.PROBLEM, Level.WARNING, Level.UNKNOWN], "2 problems, 1 warning, 1 unknown.", False),
        ([Level.UNKNOWN], "1 unknown.", False),
    ],
)
def test_a_report_says_in_a_line_how_it_is(levels: list[Level], summary: str, *, is_well: bool) -> None:
    """It is what is read first."""
    report = Report(tuple(Finding("polar.x", level, "what") for level in levels))

    assert (report.summary, report.is_well) == (summary, is_well)
    assert str(report).endswith(summary)
