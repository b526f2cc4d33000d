"""Specifies what is said about what waits on disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.customer import NOBODY
from otel_polar.checkup import outbox as looked
from otel_polar.checkup.outbox import outbox_findings, outbox_path, sent_to
from otel_polar.checkup.prices import price_findings
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.pipeline import Pipeline
from tests.checkup.support import told, wrong
from tests.delivery.deciding.test_repricing import CARD, unknown
from tests.delivery.support import let_go, settings
from tests.delivery.test_pipeline import ALICE, a_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.checkup.finding import Finding
    from otel_polar.sandbox import SandboxServer
    from otel_polar.settings import Settings

NOWHERE = "http://127.0.0.1:9"


def by(outbox_dir: Path, base_url: str = NOWHERE, **options: Any) -> Settings:
    return settings(base_url=base_url, outbox_dir=outbox_dir, **options)


def found_in(outbox_dir: Path, *, later_s: float = 0.0, base_url: str = NOWHERE) -> list[Finding]:
    return list(outbox_findings(by(outbox_dir, base_url), time.time() + later_s))


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Pipeline]:
    """An application whose Polar cannot be reached, with a call to send."""
    pipeline = Pipeline(by(tmp_path, shutdown_timeout_s=0.0))
    pipeline.take(a_span(), ALICE, {})
    pipeline.force_flush(0.1)
    yield pipeline
    pipeline.shutdown()
    if pipeline._storage._own is not None:
        let_go(pipeline)


def test_a_directory_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    """The application makes it."""
    found = found_in(tmp_path)

    assert wrong(found) == {}
    assert told(found)["outbox.directory"] == "note"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    """Calls would be in memory only."""
    (tmp_path / "file").touch()

    assert "is no directory" in wrong(found_in(tmp_path / "file"))["outbox.directory"]


def test_a_directory_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume of another user's, in most cases."""
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert "may not write" in wrong(found_in(tmp_path))["outbox.directory"]


def test_no_directory_at_all_is_told() -> None:
    """Neither an option nor a home."""
    assert set(wrong(outbox_findings(settings(base_url=NOWHERE), 0.0))) == {"outbox.directory"}


def test_what_others_may_read_is_told(tmp_path: Path) -> None:
    """It says who your customers are."""
    path = outbox_path(by(tmp_path))
    assert path is not None
    path.mkdir()
    path.chmod(0o755)

    assert set(wrong(found_in(tmp_path))) == {"outbox.mode"}


def test_a_network_file_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines may take one file for theirs."""
    monkeypatch.setattr(looked, "network_filesystem", lambda _: "nfs4")

    assert "nfs4" in wrong(found_in(tmp_path))["outbox.network"]


@pytest.mark.parametrize(("kind", "check"), [("tmpfs", "outbox.memory"), ("overlay", "outbox.container")])
def test_a_place_that_does_not_last_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, check: str
) -> None:
    """It has to outlive the process."""
    monkeypatch.setattr(looked, "filesystem_of", lambda *_: kind)

    assert check in told(found_in(tmp_path))


@pytest.mark.parametrize(("free_bytes", "level"), [(2**20, "problem"), (2**27, "warning")])
def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, level: str) -> None:
    """What does not fit on the disk is in memory."""
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((1, 1, 1, 1, free_bytes, 1, 1, 1, 0, 255)))

    assert told(found_in(tmp_path))["outbox.room"] == level


def test_what_waits_beside_a_running_application_is_only_told_when_it_is_late(
    waiting: Pipeline, tmp_path: Path
) -> None:
    """A call of this second is on its way."""
    assert waiting.outboxes
    assert wrong(found_in(tmp_path)) == {}
    assert "the oldest waiting for 60 min" in wrong(found_in(tmp_path, later_s=3_600))["outbox.backlog"]


def test_what_waits_without_an_application_is_told_with_the_command(waiting: Pipeline, tmp_path: Path) -> None:
    """Nobody sends it by itself."""
    waiting.shutdown()
    let_go(waiting)

    (finding,) = (each for each in found_in(tmp_path) if each.check == "outbox.backlog")

    assert "no application is running" in finding.what
    assert finding.do == ("otel-polar outbox send",)


def test_what_waits_for_another_token_is_told(waiting: Pipeline, tmp_path: Path) -> None:
    """Nobody ever sends it with the new one."""
    assert waiting.outboxes
    found = list(outbox_findings(by(tmp_path, access_token="polar_oat_new"), time.time()))

    assert set(wrong(found)) == {"outbox.elsewhere"}


def test_what_is_held_is_told_by_state_and_reason(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Each waits for another person and another command."""
    pipeline = Pipeline(by(tmp_path, polar_sandbox.url))
    pipeline.take(unknown(1), ALICE, {})
    pipeline.take(unknown(2), ALICE, {})
    pipeline.take(a_span(**{"gen_ai.usage.output_tokens": -1}), ALICE, {})
    pipeline.take(a_span(number=9), ALICE, {})
    pipeline.take(a_span(number=11), NOBODY, {})
    pipeline.force_flush(10.0)
    pipeline.shutdown()
    let_go(pipeline)

    found = found_in(tmp_path, base_url=polar_sandbox.url)

    assert {check: what.partition(":")[0] for check, what in wrong(found).items()} == {
        "outbox.unpriced": "2 unpriced",
        "outbox.unmetered": "1 unmetered",
        "outbox.unattributed": "1 unattributed",
    }
    assert sent_to(by(tmp_path, polar_sandbox.url), "alice") == 1
    (model,) = (each for each in price_findings(by(tmp_path, polar_sandbox.url)) if each.check == "prices.models")
    assert model.what.startswith("gpt-9000 of openai has no price: 2 calls")
    assert model.do[0] == "[[prices]]"
    assert model.do[-2:] == ("otel-polar price openai gpt-9000", "otel-polar outbox reprice")


def test_a_damaged_file_is_told(waiting: Pipeline, tmp_path: Path) -> None:
    """Calls in it may be lost."""
    waiting.shutdown()
    let_go(waiting)
    path = outbox_path(by(tmp_path))
    assert path is not None
    (path / "damaged-ab12-outbox-1.db").touch()
    (path / "outbox-deadbeef.db").write_bytes(b"no database" * 1_000)

    told_of = [each.what for each in found_in(tmp_path) if each.check == "outbox.damaged"]

    assert len(told_of) == 2


def test_from_inside_the_files_that_are_open_are_counted_by_themselves(waiting: Pipeline, tmp_path: Path) -> None:
    """SQLite shares what it has opened within a process."""
    found = list(outbox_findings(by(tmp_path), time.time(), own=waiting.outboxes))

    assert wrong(found) == {}
    assert any("1 ready" in each.what or "1 recorded" in each.what for each in found)


def test_from_inside_what_is_in_memory_is_told(tmp_path: Path) -> None:
    """It is lost with the process."""
    memory = Outbox(None)
    memory.record("{}", 0.0)

    assert "outbox.memory_only" in wrong(outbox_findings(by(tmp_path), 0.0, own=[memory]))
    memory.close()


def test_a_rate_card_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """An application that starts with it does not bill."""
    card = tmp_path / "card.toml"
    card.write_text("[[prices]]\nprovider = 1")

    assert "card.toml" in wrong(price_findings(by(tmp_path, rate_card=card)))["prices.card"]
    card.write_text(CARD.format("1"))
    assert wrong(price_findings(by(tmp_path, rate_card=card))) == {}
