"""Specifies that no damaged file stops the billing, and that none is dropped in silence.

Each damage is done to the files of a dead process, which had calls in its database and calls in its journal only.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from typing import TYPE_CHECKING, TypeAlias

import pytest

from otel_polar.delivery.disk.files import directory_name
from otel_polar.delivery.disk.journal import segments_of
from otel_polar.delivery.disk.outbox import Outbox
from tests.delivery.children import make_calls
from tests.delivery.support import NOON, PAGE_BYTES, TOKEN, a_record, damage_page
from tests.disk.support import flush, sent_once, storage_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer
    from tests.disk.conftest import Start

    Damage: TypeAlias = Callable[[Path], object]

IN_DATABASE = 200
IN_JOURNAL = 5

pytestmark = pytest.mark.slow


def the_files_of_a_dead_process(directory: Path, *, was_killed: bool) -> Path:
    """An outbox file and its journal; where the process was killed, with the log of the database."""
    work = directory.parent / "work"
    work.mkdir(parents=True)
    directory.mkdir(mode=0o700)
    outbox = Outbox(work / "outbox-00000000.db")
    for number in range(IN_DATABASE):
        outbox.record(a_record(number), NOON)
    outbox.take_in()
    assert outbox.journal is not None
    if not was_killed:
        # A segment that has been read is deleted when another one has begun.
        outbox.journal.close()
        outbox.take_in()
    for number in range(IN_DATABASE, IN_DATABASE + IN_JOURNAL):
        outbox.record(a_record(number), NOON)
    if not was_killed:
        outbox.close()
    for file in work.iterdir():
        shutil.copy(file, directory)
    outbox.close()
    shutil.rmtree(work)
    return directory / "outbox-00000000.db"


def truncated(share: float, *, of: str = "") -> Damage:
    def damage(path: Path) -> None:
        file = path.with_name(path.name + of)
        os.truncate(file, int(file.stat().st_size * share))

    return damage


def overwritten(begin: int, content: bytes, *, of: str = "") -> Damage:
    def damage(path: Path) -> None:
        with path.with_name(path.name + of).open("r+b") as file:
            file.seek(begin)
            file.write(content)

    return damage


def random_pages(seed: int) -> Damage:
    def damage(path: Path) -> None:
        source = random.Random(seed)
        pages = path.stat().st_size // PAGE_BYTES
        for page in source.sample(range(1, pages), 3):
            overwritten(page * PAGE_BYTES, source.randbytes(PAGE_BYTES))(path)

    return damage


def the_segment(path: Path) -> Path:
    (segment,) = segments_of(path)
    return segment


def a_directory_instead(path: Path) -> None:
    path.unlink()
    (path / "of-somebody").mkdir(parents=True)


def cut_in_the_middle_of_a_line(path: Path) -> None:
    segment = the_segment(path)
    os.truncate(segment, segment.stat().st_size - 100)


def garbage_in_the_middle(path: Path) -> None:
    segment = the_segment(path)
    content = bytearray(segment.read_bytes())
    middle = len(content) // 2
    content[middle - 50 : middle + 50] = random.Random(1).randbytes(100)
    segment.write_bytes(content)


EVERY_CALL = IN_DATABASE + IN_JOURNAL
# what is damaged, whether the process had been killed, how many of its calls arrive at least and at most, and what is
# kept for a person to look at
DATABASE = [
    pytest.param(truncated(0.0), IN_JOURNAL, IN_JOURNAL, id="empty"),
    pytest.param(lambda path: os.truncate(path, 50), IN_JOURNAL, IN_JOURNAL, id="cut in the header"),
    pytest.param(lambda path: os.truncate(path, 1_000), IN_JOURNAL, IN_JOURNAL, id="cut in the first page"),
    pytest.param(lambda path: os.truncate(path, PAGE_BYTES), IN_JOURNAL, IN_JOURNAL, id="cut after the first page"),
    pytest.param(truncated(0.3), 15, EVERY_CALL - 50, id="cut in a page, with most of it missing"),
    pytest.param(truncated(0.9), 150, EVERY_CALL - 5, id="cut in a page, with little of it missing"),
    pytest.param(lambda path: os.truncate(path, path.stat().st_size - PAGE_BYTES), 190, EVERY_CALL - 1, id="last page"),
    pytest.param(overwritten(0, b"\0" * 100), IN_JOURNAL, IN_JOURNAL, id="header zeroed"),
    pytest.param(overwritten(0, b"\0" * PAGE_BYTES), IN_JOURNAL, IN_JOURNAL, id="first page zeroed"),
    pytest.param(overwritten(0, b"garbage" * 50_000), IN_JOURNAL, IN_JOURNAL, id="something else"),
    pytest.param(lambda path: damage_page(path, page=path.stat().st_size // PAGE_BYTES // 2), 190, 204, id="a sector"),
    *(pytest.param(random_pages(seed), IN_JOURNAL, EVERY_CALL, id=f"random pages {seed}") for seed in range(4)),
    pytest.param(a_directory_instead, IN_JOURNAL, IN_JOURNAL, id="a directory in its place"),
]
LOG = [
    pytest.param(truncated(0.5, of="-wal"), id="cut in the middle"),
    pytest.param(truncated(0.0, of="-wal"), id="empty"),
    pytest.param(lambda path: path.with_name(f"{path.name}-wal").unlink(), id="deleted"),
    pytest.param(overwritten(0, b"\0" * 32, of="-wal"), id="header zeroed"),
    pytest.param(overwritten(20_000, b"\xff" * 500, of="-wal"), id="garbage in the middle"),
]
JOURNAL = [
    pytest.param(cut_in_the_middle_of_a_line, 4, id="cut in a line"),
    pytest.param(garbage_in_the_middle, 4, id="garbage in the middle"),
    pytest.param(lambda path: the_segment(path).write_bytes(b"\xff" * 10_000), 0, id="nothing but garbage"),
    pytest.param(lambda path: a_directory_instead(the_segment(path)), 0, id="a directory in its place"),
]


def arrives(server: SandboxServer, start: Start, outbox_dir: Path) -> int:
    """What of a dead process's calls is sent by the next process, which makes one of its own."""
    provider, processor = start(server.url, outbox_dir)
    make_calls(provider, 1, "afterwards")
    server.wait_for_events(1)
    flush(processor)
    # The rest of a file that turns out to be damaged goes on in another one.
    wait_until(lambda: "afterwards" in {event["external_customer_id"] for event in server.events()})
    assert storage_of(processor).waiting_in_memory() == 0
    return sent_once(server) - 1


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.parametrize(("damage", "least", "most"), DATABASE)
def test_a_damaged_database_is_said_and_put_aside_and_what_can_be_read_goes_on(
    damage: Damage,
    least: int,
    most: int,
    tmp_path: Path,
    polar_sandbox: SandboxServer,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One broken file of one process must not stop the billing of the next one."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=False)
    damage(path)

    arrived = arrives(polar_sandbox, start, tmp_path)

    assert least <= arrived <= most
    assert any(path.name in error for error in errors(caplog))
    assert len(list(path.parent.glob(f"damaged-*-{path.name}"))) == 1


@pytest.mark.parametrize("seed", range(6))
def test_bytes_that_have_changed_anywhere_stop_nothing(
    seed: int, tmp_path: Path, polar_sandbox: SandboxServer, start: Start
) -> None:
    """SQLite keeps no checksum: a row may have lost its text, its time, or anything."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=False)
    source = random.Random(seed)
    for _ in range(20):
        overwritten(source.randrange(PAGE_BYTES, path.stat().st_size), source.randbytes(source.randrange(1, 30)))(path)

    assert IN_JOURNAL <= arrives(polar_sandbox, start, tmp_path) <= EVERY_CALL


@pytest.mark.parametrize("damage", LOG)
def test_a_damaged_log_of_the_database_is_said_and_its_calls_come_from_the_journal(
    damage: Damage,
    tmp_path: Path,
    polar_sandbox: SandboxServer,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SQLite takes the end of what it can read for the end of what was committed, and says nothing."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=True)
    damage(path)

    assert arrives(polar_sandbox, start, tmp_path) == EVERY_CALL
    assert any(path.name in error and "write-ahead log" in error for error in errors(caplog))


def test_the_log_of_a_killed_process_is_no_damage(
    tmp_path: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody must be woken at night because of it."""
    the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=True)

    assert arrives(polar_sandbox, start, tmp_path) == EVERY_CALL
    assert errors(caplog) == []


@pytest.mark.parametrize(("damage", "readable"), JOURNAL)
def test_a_damaged_journal_is_said_and_put_aside_and_what_can_be_read_goes_on(
    damage: Damage,
    readable: int,
    tmp_path: Path,
    polar_sandbox: SandboxServer,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The calls of the database do not wait for it."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=False)
    segment = the_segment(path)
    damage(path)

    assert arrives(polar_sandbox, start, tmp_path) == IN_DATABASE + readable
    assert any(segment.name in error for error in errors(caplog))
    assert len(list(path.parent.glob(f"damaged-*-{segment.name}"))) == 1


@pytest.mark.parametrize("content", [b"", b"\0\xffgarbage" * 1_000])
def test_what_is_in_the_file_of_a_lock_does_not_matter(
    content: bytes,
    tmp_path: Path,
    polar_sandbox: SandboxServer,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operating system holds the lock, not the file."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=False)
    path.with_name(f"{path.name}.lock").write_bytes(content)

    assert arrives(polar_sandbox, start, tmp_path) == EVERY_CALL
    assert errors(caplog) == []


def test_an_outbox_that_cannot_be_locked_waits_and_is_said(
    tmp_path: Path, polar_sandbox: SandboxServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory has the name of the lock: nobody knows whether the owner lives."""
    path = the_files_of_a_dead_process(tmp_path / directory_name("sandbox", polar_sandbox.url, TOKEN), was_killed=False)
    path.with_name(f"{path.name}.lock").mkdir()

    assert arrives(polar_sandbox, start, tmp_path) == 0
    assert any(f"{path} cannot be locked" in error for error in errors(caplog))
    assert path.exists()
