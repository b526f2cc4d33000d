"""Specifies that the commands in the README do what it says, typed as they stand there, against local servers."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from otel_polar.billing.customer import Unattributed
from otel_polar.checkup.troubleshooting import TROUBLES
from otel_polar.delivery.pipeline import Pipeline
from tests.cli.command import run_command
from tests.cli.test_every_command import COMMANDS
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span
from tests.reconciliation.support import YESTERDAY, a_body, directory_of, ingest, keep
from tests.service.stored.recordings import a_request, lines
from tests.test_readme import README

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

NOBODY = Unattributed("no customer: not inside bill_to(...)")
DAY_S = 86_400


def block(name: str) -> list[str]:
    """The lines of a block of commands."""
    return README.partition(f"<!-- commands: {name} -->\n```sh\n")[2].partition("\n```")[0].splitlines()


@pytest.fixture
def environment(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, str]:
    return {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": polar_sandbox.url,
        "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox"),
    }


def leave_calls(url: str, outbox_dir: Path) -> None:
    """An application has run: of two calls one has nobody who pays."""
    pipeline = Pipeline(settings(base_url=url, outbox_dir=outbox_dir))
    pipeline.take(a_span(0), ALICE, {})
    pipeline.take(a_span(1), NOBODY, {})
    pipeline.force_flush(10.0)
    pipeline.shutdown()
    let_go(pipeline)


def leave_events(url: str, directory: Path) -> None:
    """Yesterday's events are in the ledger, on Polar, and on the provider's export."""
    begin = int(YESTERDAY) // DAY_S * DAY_S
    bodies = [a_body(number, at=begin + 60 + number) for number in range(10)]
    keep(directory_of(url, directory), bodies)
    ingest(url, bodies)
    used = {"model": "gpt-4o-mini-2024-07-18", "input_tokens": 1_045, "output_tokens": 100, "num_model_requests": 10}
    bucket = {"start_time": begin, "end_time": begin + DAY_S, "results": [used]}
    (directory.parent / "usage.json").write_text(json.dumps({"data": [bucket], "has_more": False}))


@pytest.mark.parametrize(
    ("name", "endings"),
    [
        ("set up", [0, 0, 0, 0]),
        # Of the call that nobody pays for it is said that something is to be done.
        ("look and repair", [1, 0, 0, 0, 0, 0]),
        ("replay", [0, 0]),
        ("reconcile", [0, 0]),
    ],
)
def test_what_is_shown_can_be_typed(
    name: str, endings: list[int], environment: dict[str, str], polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """People copy it before they read it."""
    if name == "look and repair":
        leave_calls(polar_sandbox.url, tmp_path / "outbox")
    elif name == "reconcile":
        leave_events(polar_sandbox.url, tmp_path / "outbox")
    (tmp_path / "spans.jsonl").write_bytes(lines([a_request(1)]))

    ended = [run_command(*shlex.split(line)[1:], env=environment, cwd=tmp_path) for line in block(name)]

    assert [done.returncode for done in ended] == endings, [done.stdout + done.stderr for done in ended]


def test_every_command_is_in_the_table() -> None:
    """What is not in it does not exist for a user, and what is only there is a lie."""
    table = README.partition("| command | what it does |")[2].partition("\n\n")[0]

    assert sorted(re.findall(r"`(otel-polar [\w ]+)`", table)) == sorted(
        " ".join(("otel-polar", *words)) for words, _ in COMMANDS
    )


def test_the_table_of_troubles_is_the_doctors() -> None:
    """Each of its rows has a check, and each check a test that brings it about."""
    shown = README.partition("| you see | because |")[2].partition("\n\n")[0].splitlines()[2:]

    assert [[cell.strip() for cell in row.strip("|").split(" | ")] for row in shown] == [
        [
            trouble.symptom,
            trouble.cause,
            f"`{trouble.check}`" + (f" (`{trouble.option}`)" if trouble.option else ""),
            f"`{trouble.to_type}`",
        ]
        for trouble in TROUBLES
    ]
