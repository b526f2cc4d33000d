"""``otel-polar outbox reprice`` as users run it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.pipeline import Pipeline
from tests.cli.command import run_command as run
from tests.cli.outbox_support import told
from tests.delivery.deciding.test_repricing import CARD, unknown
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing answers there."""


def environment(base_url: str, outbox_dir: Path, card: Path | None = None) -> dict[str, str]:
    return {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": base_url,
        "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir),
        **({} if card is None else {"OTEL_POLAR_RATE_CARD": str(card)}),
    }


def hold(base_url: str, outbox_dir: Path, *, of: int = 1) -> Pipeline:
    """A process with calls that have no price."""
    pipeline = Pipeline(settings(base_url=base_url, outbox_dir=outbox_dir))
    for number in range(of):
        pipeline.take(unknown(number), ALICE, {})
    pipeline.force_flush(10.0)
    (outbox,) = pipeline.outboxes
    assert outbox.counts() == {State.UNPRICED: of}
    return pipeline


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(CARD.format("1"))
    return path


def test_calls_of_a_process_that_has_ended_are_priced_and_sent(
    polar_sandbox: SandboxServer, tmp_path: Path, card: Path
) -> None:
    """Write two numbers on a card, and what waited is billed."""
    pipeline = hold(polar_sandbox.url, tmp_path, of=3)
    pipeline.shutdown()
    let_go(pipeline)

    result = run("outbox", "reprice", "--json", env=environment(polar_sandbox.url, tmp_path, card))

    assert result.returncode == 0, result.stderr
    assert told(result)["done"] == 3
    assert [event["metadata"]["cost_nanos"] for event in polar_sandbox.events()] == [200_000] * 3


def test_what_is_still_unpriced_is_said_with_its_reason(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The command ends with 1: there is something left to do."""
    pipeline = hold(polar_sandbox.url, tmp_path, of=2)
    pipeline.shutdown()
    let_go(pipeline)

    result = run("outbox", "reprice", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 1
    assert "genai-prices 0.2.3 has no model 'gpt-9000' of provider 'openai'" in result.stdout
    assert polar_sandbox.events() == []


def test_a_polar_that_is_down_leaves_them_priced_on_disk(tmp_path: Path, card: Path) -> None:
    """The next process sends them, at the price they have now."""
    pipeline = hold(NOWHERE, tmp_path)
    pipeline.shutdown()
    let_go(pipeline)

    result = run("outbox", "reprice", "--timeout", "0.5", "--json", env=environment(NOWHERE, tmp_path, card))

    assert result.returncode == 1
    assert (told(result)["done"], told(result)["is_sent"]) == (1, False)
    assert "Not all of them could be sent now" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_running_process_prices_its_own_by_its_own_options(
    polar_sandbox: SandboxServer, tmp_path: Path, card: Path
) -> None:
    """No two processes ever share a file; and the command says what became of the calls."""
    card.unlink()
    card.write_text(CARD.format("1").replace("gpt-9000", "gpt-8000"))
    pipeline = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path, rate_card=card, markup="2"))
    pipeline.take(unknown(), ALICE, {})
    pipeline.force_flush(10.0)
    card.write_text(CARD.format("1"))
    # A card that is just being written is not read.
    os.utime(card, (1_700_000_000, 1_700_000_000))

    result = run("outbox", "reprice", "--json", env=environment(polar_sandbox.url, tmp_path))

    assert result.returncode == 0, result.stderr
    assert told(result)["done"] == 1
    (event,) = polar_sandbox.wait_for_events(1)
    assert (event["metadata"]["cost_nanos"], event["metadata"]["charge_nanos"]) == (200_000, 400_000)
    pipeline.shutdown()
    pipeline.outboxes[0].close()


def test_calls_that_are_held_for_other_reasons_stay(polar_sandbox: SandboxServer, tmp_path: Path, card: Path) -> None:
    """No tokens, or a function that raised, are not matters of price."""
    pipeline = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path))
    pipeline.take(a_span(**{"gen_ai.usage.output_tokens": -1}), ALICE, {})
    pipeline.force_flush(10.0)
    pipeline.shutdown()
    (outbox,) = pipeline.outboxes
    path = outbox.path
    let_go(pipeline)

    result = run("outbox", "reprice", env=environment(polar_sandbox.url, tmp_path, card))

    assert result.returncode == 0, result.stderr
    assert "there is nothing to do" in result.stderr
    assert Outbox(path).counts() == {State.UNMETERED: 1}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"markup": "1.25"}, "markup is 1.25, here none"),
        ({"event_name": "my_llm"}, "event_name is my_llm, here llm_usage"),
        ({"map_metadata": lambda _call, metadata: metadata}, "map_metadata is a function, which is only in code"),
        ({"price_resolvers": lambda _query: None}, "price_resolvers is a function, which is only in code"),
        ({"rate_card": {"gpt-4o": {"promptTokens": 1e-6}}}, "rate_card is made in code, here a file"),
    ],
)
def test_events_are_not_made_by_other_options_than_the_applications(
    polar_sandbox: SandboxServer, tmp_path: Path, card: Path, options: dict[str, Any], why: str
) -> None:
    """They would be frozen, under another name or without the charge."""
    pipeline = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path, **options))
    pipeline.take(unknown(), ALICE, {})
    pipeline.force_flush(10.0)
    pipeline.shutdown()
    let_go(pipeline)

    result = run("outbox", "reprice", env=environment(polar_sandbox.url, tmp_path, card))

    assert result.returncode == 3
    assert "the application makes its events by other options" in result.stderr
    assert why in result.stderr
    assert polar_sandbox.events() == []
    forced = run("outbox", "reprice", "--force", env=environment(polar_sandbox.url, tmp_path, card))
    assert forced.returncode == 0, forced.stderr
    assert len(polar_sandbox.events()) == 1


def test_another_directory_is_no_success(tmp_path: Path) -> None:
    """A wrong token would look as if nothing waited."""
    result = run("outbox", "reprice", env=environment(NOWHERE, tmp_path / "none"))

    assert result.returncode == 3
    assert "there is no " in result.stderr
    assert not (tmp_path / "none").exists()


def test_without_a_token_it_says_what_is_missing(tmp_path: Path) -> None:
    """Calls wait in a directory per token."""
    result = run("outbox", "reprice", env={"POLAR_ACCESS_TOKEN": "", "OTEL_POLAR_OUTBOX_DIR": str(tmp_path)})

    assert result.returncode == 3
    assert "access_token (POLAR_ACCESS_TOKEN) is not set" in result.stderr
