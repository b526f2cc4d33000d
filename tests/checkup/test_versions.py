"""Specifies which versions are known not to go together."""

from __future__ import annotations

import pytest

from otel_polar.checkup.versions import version_findings
from tests.checkup.support import told, wrong

GOOD = {
    "opentelemetry-api": "1.45.2",
    "opentelemetry-sdk": "1.45.2",
    "polar-sdk": "1.0.2",
    "opentelemetry-instrumentation-openai-v2": "2.4b0",
    "opentelemetry-util-genai": "1.1b0",
}


def test_what_is_installed_here_goes_together() -> None:
    """It is what the tests run with."""
    assert wrong(version_findings()) == {}


@pytest.mark.parametrize(
    ("changed", "check", "level"),
    [
        ({"opentelemetry-util-genai": "1.2b0"}, "versions.openai_v2", "problem"),
        ({"opentelemetry-util-genai": "1.3b0"}, "versions.openai_v2", "problem"),
        ({"opentelemetry-instrumentation-openai-v2": "2.5b0", "opentelemetry-util-genai": "1.3b0"}, "", ""),
        ({"opentelemetry-api": "1.44.0"}, "versions.opentelemetry", "warning"),
        ({"opentelemetry-api": "1.30.0", "opentelemetry-sdk": "1.30.0"}, "versions.opentelemetry", "problem"),
        ({"polar-sdk": "0.32.0"}, "versions.polar_sdk", "problem"),
        ({"polar-sdk": "odd"}, "versions.polar_sdk", "problem"),
    ],
)
def test_each_combination_that_does_not_work_is_told(changed: dict[str, str], check: str, level: str) -> None:
    """Pip chooses some of them by itself."""
    versions = {**GOOD, **changed}

    found = list(version_findings(versions.get, has_module=lambda name: name == "polar"))

    assert set(wrong(found)) == ({check} - {""})
    assert not check or told(found)[check] == level


def test_what_is_left_of_the_old_polar_sdk_is_told() -> None:
    """Two ways of sending the same call are two bills, for the old one has no ids."""
    found = list(version_findings(GOOD.get, has_module=lambda _: True))

    assert told(found)["versions.polar_sdk"] == "note"
