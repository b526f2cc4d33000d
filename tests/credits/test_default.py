"""Specifies the guard that is made from the environment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_polar import ConfigError
from otel_polar import credits as guards
from otel_polar.credits import InsufficientCredits
from otel_polar.credits.default import METER, _Default, from_environment
from tests.credits.support import METER as TOKENS
from tests.credits.support import TOKEN, USER, a_customer_with, guarding
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def test_the_environment_is_enough(
    polar_sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line in an application, and the rest where its other settings are."""
    a_customer_with(polar_sandbox, 100)
    monkeypatch.setattr(_Default, "guard", None)
    for variable, value in {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": polar_sandbox.url,
        "OTEL_POLAR_OUTBOX_DIR": str(tmp_path),
        METER: TOKENS,
    }.items():
        monkeypatch.setenv(variable, value)
    with guards.require(USER, 60):
        with pytest.raises(InsufficientCredits):
            guards.require(USER, 60)
        assert guards.balance(USER).reserved == 60
    guards.default_guard().close()


def test_another_guard_can_be_used(
    polar_sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that are code have no variables."""
    a_customer_with(polar_sandbox, 100)
    monkeypatch.setattr(_Default, "guard", None)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        guards.use(guard)

        assert guards.default_guard() is guard


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, METER),
        ({METER: TOKENS}, "POLAR_ACCESS_TOKEN"),
        ({METER: TOKENS, "POLAR_ACCESS_TOKEN": TOKEN}, "OTEL_POLAR_OUTBOX_DIR"),
        ({METER: TOKENS, "POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_CREDITS_MODE": "off"}, "OTEL_POLAR_CREDITS_MODE"),
        (
            {METER: TOKENS, "POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_CREDITS_UNREACHABLE": "?"},
            "OTEL_POLAR_CREDITS_UNREACHABLE",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(environ: dict[str, str], told: str) -> None:
    """The reader knows the variable, not the argument."""
    with pytest.raises(ConfigError, match=told):
        from_environment(environ)


def test_the_package_does_not_import_it() -> None:
    """It needs SQLite and an HTTP client, which most applications do not need at their start."""
    code = "import otel_polar, sys; otel_polar.InsufficientCredits; print('otel_polar.credits' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured_environment(), capture_output=True, text=True, check=True
    ).stdout

    assert told == "False\n"


@pytest.mark.parametrize("name", guards.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """help() is the manual."""
    assert getattr(guards, name).__doc__
