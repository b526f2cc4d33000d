"""Specifies that the table of troubles says nothing that is not seen to be so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_polar.checkup.sections import SECTIONS
from otel_polar.checkup.troubleshooting import TROUBLES, Trouble

ROOT = Path(__file__).parents[2]
CHECKS = frozenset(
    check
    for path in (ROOT / "otel_polar" / "checkup").glob("*.py")
    for check in re.findall(r'"([a-z]+\.[a-z_0-9]+)",', path.read_text())
    if path.name != "troubleshooting.py"
) | {"outbox.unattributed", "outbox.unmetered"}  # by state
TESTED = "\n".join(
    path.read_text()
    for directory in ("checkup", "cli")
    for path in (ROOT / "tests" / directory).glob("test_*.py")
    if path != Path(__file__)
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.check)
def test_each_cause_is_named_by_a_check_that_a_test_brings_about(trouble: Trouble) -> None:
    """A table that nobody has tried sends people the wrong way."""
    assert trouble.check in CHECKS
    assert trouble.check.partition(".")[0] in SECTIONS
    assert f'"{trouble.check}"' in TESTED, "no test"


def test_each_check_is_in_the_table_once() -> None:
    """Two rows of one cause are one row."""
    checks = [trouble.check for trouble in TROUBLES]
    assert len(set(checks)) == len(checks)
