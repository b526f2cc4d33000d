"""``otel-polar outbox show`` as a process."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from otel_polar.billing.customer import NOBODY
from otel_polar.delivery.disk.files import directory_name
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, Duplicate, State
from tests.cli.command import run_command
from tests.cli.outboxes import application, environment, make_calls
from tests.delivery.support import NOON, a_body, a_record
from tests.delivery.test_pipeline import a_span

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


def test_everything_that_is_known_of_a_call_is_shown(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The record, the event as it was frozen, and what is next; the beginning of the id is enough."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=1, nobodys=0)
        env = environment(polar_sandbox.url, tmp_path)
        people = run_command("outbox", "show", f"{1:032x}", env=env)
        programs = run_command("outbox", "show", "--json", f"{1:032x}", env=env)

    assert people.returncode == 0, people.stderr
    assert re.search(r"start *│ \d+ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)", people.stdout), people.stdout
    assert "┃ field" in people.stdout
    for said in ("Polar has it", "alice", '"cost_nanos": 21000', '"plan": "pro"', "uncached_input", "nothing is left"):
        assert said in people.stdout
    told = json.loads(programs.stdout)
    assert told["event"]["metadata"]["cost_nanos"] == 21_000
    assert told["call"]["customer"]["external_id"] == "alice"
    assert told["call"]["tags"] == {"plan": "pro"}
    assert (told["state"], told["meaning"], told["other_spans"]) == ("sent", "Polar has it", [])


def test_a_held_call_tells_why_and_what_to_do(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """There is no event of it yet."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=0, unpriced=1, nobodys=0)
        env = environment(polar_sandbox.url, tmp_path)
        result = run_command("outbox", "show", f"{1:032x}", env=env)

    assert result.returncode == 0, result.stderr
    assert "There is no event yet" in result.stdout
    assert "gpt-9000" in result.stdout
    assert "Next: otel-polar outbox reprice" in result.stdout
    assert "Give it a price on the rate card" in result.stdout


def test_spans_of_one_call_are_shown_together(tmp_path: Path) -> None:
    """Whichever of them is asked for."""
    env = environment("http://127.0.0.1:9", tmp_path)
    directory = tmp_path / _name(env)
    directory.mkdir()
    outbox = Outbox(directory / "outbox-0.db")
    outbox.record_all([a_record(0), a_record(1)], NOON)
    first, second = outbox.recorded(limit=2)
    outbox.decide(
        [Decided(first, "call-0", State.READY, body=a_body(0))],
        [Duplicate("span-1", "call-0", NOON, second.seq)],
        now=NOON,
    )

    call = json.loads(run_command("outbox", "show", "--json", "call", env=env).stdout)
    span = json.loads(run_command("outbox", "show", "--json", "span-1", env=env).stdout)

    assert [other["external_id"] for other in call["other_spans"]] == ["span-1"]
    assert [other["external_id"] for other in span["other_spans"]] == ["call-0"]
    assert span["next"] == "nothing: it is another span of call-0"
    assert "other spans of it" in run_command("outbox", "show", "call", env=env).stdout.lower()


def test_a_beginning_that_several_have_is_not_guessed_at(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Nor is one that none has."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=0, nobodys=0)
        env = environment(polar_sandbox.url, tmp_path)
        several, none = (run_command("outbox", "show", begin, env=env) for begin in ("0000", "ffff"))

    assert (several.returncode, several.stdout) == (1, "")
    assert "2 calls in the outbox begin with 0000" in several.stderr
    assert several.stderr.count("  sent") == 2
    assert (none.returncode, none.stdout) == (1, "")
    assert "no call in the outbox" in none.stderr


def test_what_a_terminal_would_obey_is_not_printed(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Tags come from spans, so from anybody."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        pipeline.take(a_span(0), NOBODY, {"plan": "\x1b]0;owned\x07"})
        pipeline.force_flush(5.0)
        result = run_command("outbox", "show", "0000", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 0, result.stderr
    assert "owned" in result.stdout
    assert "\x1b" not in result.stdout


def _name(env: dict[str, str]) -> str:
    return directory_name("production", env["POLAR_BASE_URL"], env["POLAR_ACCESS_TOKEN"])
