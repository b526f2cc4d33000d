"""``otel-polar setup`` as people run it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import ROOT, run_command
from tests.delivery.support import TOKEN

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def setup(polar: SandboxServer, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_BASE_URL": polar.url, "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000"}
    return run_command("setup", *arguments, env={**env, **more})


def changes(polar: SandboxServer) -> int:
    return sum(request.method != "GET" for request in polar.requests)


def test_the_meters_are_made_once(polar_sandbox: SandboxServer) -> None:
    """The everyday use, and again with the next deployment."""
    first, second = (setup(polar_sandbox, "--yes") for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout.count("│ created │") == second.stdout.count("│ there already │") == 5
    assert changes(polar_sandbox) == 5


def test_a_dry_run_shows_what_would_be_made(polar_sandbox: SandboxServer) -> None:
    """Nothing is changed."""
    result = setup(polar_sandbox, "--dry-run", "--meter", "cost", "--model", "gpt-4o-mini*")

    assert result.returncode == 0
    assert "the sum of cost_nanos where name eq 'llm_usage'; in USD" in result.stdout
    assert "LLM cost of gpt-4o-mini" in result.stdout
    assert changes(polar_sandbox) == 0


def test_without_yes_and_a_terminal_nothing_is_made(polar_sandbox: SandboxServer) -> None:
    """A script must say that it means it."""
    result = setup(polar_sandbox)

    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert changes(polar_sandbox) == 0


def test_programs_read_the_ids(polar_sandbox: SandboxServer) -> None:
    """They put them into their settings."""
    options = ("--meter", "cost", "--product", "Pay as you go", "--price-per-usd", "1.3", "--json")
    made, again = (json.loads(setup(polar_sandbox, *options, "--yes").stdout) for _ in range(2))

    assert [(each["kind"], each["action"]) for each in made["items"]] == [("meter", "created"), ("product", "created")]
    assert [each["action"] for each in again["items"]] == ["there already"] * 2
    assert [each["id"] for each in made["items"]] == [each["id"] for each in again["items"]]
    assert (again["refused"], again["dry_run"], again["polar"]) == (0, False, polar_sandbox.url)


@pytest.mark.parametrize("options", [("--yes",), ("--dry-run",)])
def test_what_stands_in_the_way_is_said_and_nothing_is_made(
    polar_sandbox: SandboxServer, options: tuple[str, ...]
) -> None:
    """A meter is frozen once something was billed by it."""
    setup(polar_sandbox, "--meter", "cost", "--yes")

    result = setup(polar_sandbox, "--meter", "cost", "--meter", "calls", *options, OTEL_POLAR_EVENT_NAME="chat")

    assert result.returncode == 1
    assert "it counts the sum of cost_nanos where name eq 'llm_usage'" in result.stdout
    assert "nothing was changed" in result.stderr
    assert changes(polar_sandbox) == 1


def test_the_example_file_makes_a_product_with_credits(polar_sandbox: SandboxServer) -> None:
    """It is what people copy."""
    made, again = (
        json.loads(setup(polar_sandbox, str(ROOT / "examples" / "setup.toml"), "--yes", "--json").stdout)
        for _ in range(2)
    )

    kinds = ["meter", "meter", "meter", "product", "credits", "grant"]
    assert [each["kind"] for each in made["items"]] == kinds
    assert [each["action"] for each in made["items"]] == ["created"] * 5 + ["attached"]
    assert {each["action"] for each in again["items"]} == {"there already"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--price-per-usd", "1"), "--product"),
        (("--product", "Usage", "--price-per-unit", "x"), "in quotes"),
        (("--product", "Usage", "--price-per-usd", "1", "--interval", "hour"), "--interval"),
        (("--meter", "calls", "--product", "Usage", "--price-per-usd", "1"), "no meter is 'cost'"),
        (("--credits", "3000000000", "--credited-to", "cost"), "$2.147483647"),
        (("setup.toml", "--meter", "cost"), "either FILE or options"),
    ],
)
def test_words_that_are_off_are_said_before_polar_is_asked(
    polar_sandbox: SandboxServer, arguments: tuple[str, ...], said: str
) -> None:
    """Half a setup is none."""
    result = setup(polar_sandbox, *arguments, "--yes")

    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert polar_sandbox.requests == []


def test_a_file_that_is_off_and_a_polar_that_cannot_be_asked_end_with_3(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """They are found out by trying."""
    (tmp_path / "setup.toml").write_text("[[meter]]")
    polar_sandbox.answer_on("/v1/meters/", 403, b'{"error": "insufficient_scope", "detail": "x"}')

    off, denied = (setup(polar_sandbox, *each) for each in ((str(tmp_path / "setup.toml"),), ("--yes",)))

    assert (off.returncode, denied.returncode) == (3, 3)
    assert "unknown 'meter'" in off.stderr
    assert "scope" in denied.stderr


def test_what_was_made_before_it_failed_is_told(polar_sandbox: SandboxServer) -> None:
    """Running it again goes on from there."""
    refusal = b'{"error": "PolarRequestValidationError", "detail": []}'
    polar_sandbox.answer_on("/v1/products/", 422, refusal, method="POST")
    options = ("--meter", "cost", "--product", "Pay as you go", "--price-per-usd", "1.3", "--yes")

    failed, again = (setup(polar_sandbox, *options) for _ in range(2))

    assert (failed.returncode, again.returncode) == (3, 0)
    assert "made before it failed, and found when you run it again: meter 'LLM cost'" in failed.stderr
    assert [again.stdout.count(each) for each in ("│ there already │", "│ created ")] == [1, 1]
