"""Specifies how an application is set up in a process of its own, and what is told of one that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.checkup.finding import Finding, Level
from otel_polar.checkup.inside import look_inside
from tests.checkup.support import wrong

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import os, sys, time
from opentelemetry.sdk.trace import TracerProvider

print("starting")

def set_up():
    return TracerProvider(shutdown_on_exit=False)

def fail():
    raise RuntimeError("no database")

def vanish():
    os._exit(7)

def serve():
    time.sleep(600)

number = 5

def needs(what):
    return what

class Factory:
    @staticmethod
    def make():
        return set_up()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


def looked(target: str, timeout_s: float = 30.0) -> list[Finding]:
    return list(look_inside(target, timeout_s))


@pytest.mark.usefixtures("here")
def test_the_provider_that_the_set_up_answers_is_looked_at() -> None:
    """It need not be the global one."""
    found = wrong(looked("their_app:Factory.make"))

    assert "no PolarSpanProcessor" in found["application.processor"]
    assert "sampling.parent" in found


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("target", "what", "level"),
    [
        ("their_app:fail", "RuntimeError: no database", Level.PROBLEM),
        ("their_app:needs", "missing 1 required positional argument", Level.PROBLEM),
        ("no_such_app:set_up", "there is no module 'no_such_app'", Level.PROBLEM),
        ("their_app.inner:set_up", "there is no module 'their_app.inner'", Level.PROBLEM),
        ("their_app:nix", "'their_app' has no 'nix'", Level.PROBLEM),
        ("their_app:Factory.nix", "'their_app.Factory' has no 'nix'", Level.PROBLEM),
        ("their_app:number", "'their_app.number' cannot be called: it is of type int", Level.PROBLEM),
        (":set_up", "'' is no name of a module", Level.PROBLEM),
        ("their_app:vanish", "ended its process (7)", Level.UNKNOWN),
    ],
)
def test_a_set_up_that_does_not_return_is_a_finding(target: str, what: str, level: Level) -> None:
    """An application may do anything; the check-up goes on."""
    (finding,) = looked(target)

    assert (finding.check, finding.level) == ("application.setup", level)
    assert what in finding.what


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("target", "is_theirs"), [("their_app:fail", True), ("broken_app:set_up", True), ("their_app:nix", False)]
)
def test_a_traceback_is_of_their_code_only(
    target: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], *, is_theirs: bool
) -> None:
    """A name that was misspelt needs a sentence; an error in the application needs its place, and not ours."""
    (tmp_path / "broken_app.py").write_text("import not_there_at_all\n")

    looked(target)

    shown = capfd.readouterr().err
    assert ("Traceback" in shown) is is_theirs
    assert "inside.py" not in shown


@pytest.mark.usefixtures("here")
def test_a_set_up_that_serves_is_given_up() -> None:
    """Its process is ended, with its children."""
    (finding,) = looked("their_app:serve", 0.5)

    assert "has not returned within 0.5 s" in finding.what


def test_a_finding_survives_the_way_as_json() -> None:
    """It comes from another process, and goes to programs."""
    finding = Finding("polar.x", Level.PROBLEM, "what", "why", ("do", "it"))

    assert Finding.from_json(finding.as_json()) == finding
    assert finding.as_json()["section"] == "polar"
