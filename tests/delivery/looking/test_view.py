"""Specifies looking at outbox files beside their owners: every call once, nothing changed, nothing waited for."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.disk.locks import is_locked, try_lock
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, State
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.delivery.notices import Notices
from tests.delivery.support import NOON, a_body, a_call, a_record, damage_page, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 20


@contextmanager
def running(what: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One of tests.delivery.looked_at, from its first calls until it is killed."""
    arguments = [sys.executable, "-m", "tests.delivery.looked_at", what, str(directory)]
    with subprocess.Popen(arguments) as process:
        try:
            deadline = time.monotonic() + 30
            while not (directory / "told").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def told(directory: Path) -> int:
    return int((directory / "told").read_text())


def numbers(view: OutboxView, wanted: Wanted | None = None) -> list[int]:
    """Of the calls of tests.delivery.looked_at that are seen."""
    calls = view.calls() if wanted is None else view.calls(wanted)
    return sorted(int(seen.external_id.partition("-")[0], 16) - 1 for seen in calls)


def content(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.iterdir())
    }


def owner(directory: Path) -> Outbox:
    return OutboxDirectory(directory, Notices()).open_own().outbox


def killed(directory: Path) -> Path:
    """The file of a process that was killed, with its log and its journal beside it."""
    with running("own", directory):
        pass
    (path,) = directory.glob("outbox-*.db")
    return path


@pytest.mark.parametrize("what", ["own", "adopt"])
def test_every_call_is_seen_exactly_once_while_it_moves(tmp_path: Path, what: str) -> None:
    """From the journal to the intake, to the ledger, back, and to the file of another process."""
    view = OutboxView(tmp_path)
    with running(what, tmp_path) as process:
        for _ in range(ROUNDS):
            least = told(tmp_path)
            found = numbers(view)
            assert view.troubles == {}
            assert found == list(range(len(found)))
            assert len(found) >= least
            assert sum(each.calls for each in view.counts().states.values()) >= least
        assert process.poll() is None


def test_the_owner_goes_on_while_somebody_looks(tmp_path: Path) -> None:
    """What was asked for is read at leisure, from a copy: the log of the owner can begin anew meanwhile."""
    outbox = owner(tmp_path)
    ready(outbox, range(3))
    calls = OutboxView(tmp_path).calls()
    next(calls)

    ready(outbox, range(3, 6))
    busy, *_ = outbox.database.read("PRAGMA wal_checkpoint(TRUNCATE)")[0]

    assert busy == 0
    assert len(list(calls)) == 2, "as it was when the first one was asked for"


def test_nothing_of_a_process_that_was_killed_is_changed(tmp_path: Path) -> None:
    """The index of its log tells the next owner whether the log was cut short: see delivery.damage."""
    killed(tmp_path)
    recorded = told(tmp_path)
    before = content(tmp_path)
    view = OutboxView(tmp_path)

    found = numbers(view)
    view.counts()
    (file,) = view.files()

    assert content(tmp_path) == before
    assert len(found) >= recorded
    assert (file.is_owned, file.trouble) == (False, None)
    assert file.size_bytes > 0


def test_a_log_whose_index_was_removed_is_read_all_the_same(tmp_path: Path) -> None:
    """As in a copy that somebody made of the directory."""
    path = killed(tmp_path)
    expected = numbers(OutboxView(tmp_path))
    path.with_name(f"{path.name}-shm").unlink()
    before = content(tmp_path)

    assert numbers(OutboxView(tmp_path)) == expected
    assert content(tmp_path) == before


@pytest.mark.parametrize("begin", [b"", b"\0"])
def test_a_log_without_anything_in_it_holds_nobody_up(tmp_path: Path, begin: bytes) -> None:
    """A process that was killed right after it had begun one; SQLite would wait for ten seconds, and refuse."""
    path = killed(tmp_path)
    before = numbers(OutboxView(tmp_path))
    log = path.with_name(f"{path.name}-wal")
    index = path.with_name(f"{path.name}-shm").read_bytes()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("CREATE TABLE more (number)")
        connection.commit()
        header = log.read_bytes()[:32]
        connection.execute("DROP TABLE more")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    log.write_bytes(begin + header[len(begin) :])
    path.with_name(f"{path.name}-shm").write_bytes(index)
    at = time.monotonic()

    assert numbers(OutboxView(tmp_path)) == before
    assert time.monotonic() - at < 5


def test_a_file_that_was_closed_well_is_read_without_making_a_log(tmp_path: Path) -> None:
    """Two files that nobody removes would be left there otherwise."""
    outbox = owner(tmp_path)
    ready(outbox, range(3))
    outbox.close()
    before = content(tmp_path)
    assert not list(tmp_path.glob("*-wal"))

    assert len(list(OutboxView(tmp_path).calls())) == 3
    assert content(tmp_path) == before


def test_an_owner_is_recognised_and_not_disturbed(tmp_path: Path) -> None:
    """A lock that is held for a moment would have a process that starts make a new file."""
    path = tmp_path / "outbox-00000000.db"
    assert not is_locked(path), "there is no lock at all"
    assert not list(tmp_path.iterdir()), "and none was made"

    lock = try_lock(path)
    assert lock is not None
    assert is_locked(path)
    lock.release()

    assert not is_locked(path)
    again = try_lock(path)
    assert again is not None
    again.release()


def test_calls_of_a_process_that_died_before_it_had_a_file_are_seen(tmp_path: Path) -> None:
    """The journal alone has them."""
    outbox = Outbox(tmp_path / "outbox-00000000.db")
    outbox.record_all([a_record(0), a_record(1)], NOON)
    outbox.close()
    (tmp_path / "outbox-00000000.db").unlink()
    view = OutboxView(tmp_path)

    assert [seen.state for seen in view.calls()] == [State.RECORDED] * 2
    assert [file.path.name for file in view.files()] == ["outbox-00000000.db"]


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    """Its journal is whole, and is read."""
    good, damaged = Outbox(tmp_path / "outbox-1.db"), Outbox(tmp_path / "outbox-0.db")
    ready(good, range(2))
    damaged.record(a_record(7), NOON)
    damaged.close()
    (tmp_path / "outbox-0.db").write_bytes(b"no database at all" * 1_000)
    view = OutboxView(tmp_path)

    assert numbers_of_states(view) == {State.READY: 2, State.RECORDED: 1}
    assert list(view.troubles) == ["outbox-0.db"]
    assert "file is not a database" in view.troubles["outbox-0.db"]
    assert [file.trouble is None for file in view.files()] == [False, True]


def numbers_of_states(view: OutboxView) -> dict[State, int]:
    return {state: found.calls for state, found in view.counts().states.items()}


def test_what_lies_behind_a_damaged_page_is_read(tmp_path: Path) -> None:
    """One bad sector must not hide what is held behind it."""
    path = tmp_path / "outbox-0.db"
    outbox = Outbox(path)
    ready(outbox, range(400))
    outbox.close()
    connection = sqlite3.connect(path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    damage_page(path, page=pages // 2)
    view = OutboxView(tmp_path)

    found = list(view.calls())

    assert 300 < len(found) < 400
    assert found[-1].external_id == "event-399"
    assert "malformed" in view.troubles[path.name]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"\0" * 4_096, "not a database"), (b"SQLite format 3\0", "not a database")],
)
def test_what_is_no_outbox_file_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    """Its process died while making it, or somebody put it there."""
    (tmp_path / "outbox-0.db").write_bytes(content)
    view = OutboxView(tmp_path)

    assert list(view.calls()) == []
    assert why in view.troubles["outbox-0.db"]


def test_a_file_of_a_newer_version_is_not_guessed_at(tmp_path: Path) -> None:
    """Its states may mean something else."""
    Outbox(tmp_path / "outbox-0.db").close()
    connection = sqlite3.connect(tmp_path / "outbox-0.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    view = OutboxView(tmp_path)

    assert list(view.calls()) == []
    assert "newer version" in view.troubles["outbox-0.db"]


def test_of_a_call_in_two_files_the_one_that_is_further_on_its_way_counts(tmp_path: Path) -> None:
    """A Collector delivered it to two replicas: it is one call, and Polar has it."""
    first, second = Outbox(tmp_path / "outbox-0.db"), Outbox(tmp_path / "outbox-1.db")
    for outbox in (first, second):
        ready(outbox, [1])
    second.settle([1], now=NOON)
    view = OutboxView(tmp_path)

    (seen,) = view.calls()

    assert (seen.file, seen.state) == ("outbox-1.db", State.SENT)
    assert list(view.calls(Wanted(states=frozenset({State.READY})))) == [], "it is not, whichever was asked for"


def test_a_span_that_was_delivered_again_is_not_one_more_call(tmp_path: Path) -> None:
    """Until it is decided it lies in the journal, and its call is in the ledger."""
    outbox = Outbox(tmp_path / "outbox-0.db")
    outbox.record(a_record(), NOON)
    key = external_id(a_call())
    outbox.decide([Decided(outbox.recorded(limit=1)[0], key, State.READY, body=a_body(0))], now=NOON)
    outbox.record(a_record(), NOON + 60)
    view = OutboxView(tmp_path)

    assert [seen.state for seen in view.calls()] == [State.READY]
    assert list(view.calls(Wanted(states=frozenset({State.RECORDED})))) == []


def hold(outbox: Outbox, number: int, state: State, reason: str, at: float, **changes: object) -> None:
    outbox.record(a_record(number, **changes), at)
    outbox.decide([Decided(outbox.recorded(limit=1)[0], f"event-{number}", state, reason)], now=at)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), {0, 1, 2, 3}),
        (Wanted(states=frozenset({State.READY, State.UNPRICED})), {0, 1}),
        (Wanted(customer="user_42"), {0, 1}),
        (Wanted(customer="bob"), {3}),
        (Wanted(model="gpt-9*"), {1}),
        (Wanted(reason="NO PRICE"), {1}),
        (Wanted(since=NOON + 1), {1, 2, 3}),
        (Wanted(since=NOON + 1, until=NOON + 2), {1}),
        (Wanted(external_ids=frozenset({"event-2", "event-3", "event-9"})), {2, 3}),
        (Wanted(states=frozenset({State.UNATTRIBUTED}), customer="user_42"), set()),
    ],
)
def test_only_what_is_asked_for_is_told(tmp_path: Path, wanted: Wanted, expected: set[int]) -> None:
    """Everything that is given has to fit."""
    outbox = Outbox(tmp_path / "outbox-0.db")
    ready(outbox, [0])
    hold(outbox, 1, State.UNPRICED, "no price of gpt-9000", NOON + 1, response_model="gpt-9000")
    hold(outbox, 2, State.UNATTRIBUTED, "no customer", NOON + 2, customer=Unattributed("no customer"))
    bob = Customer(external_customer_id="bob")
    hold(outbox, 3, State.UNMETERED, "the call failed", NOON + 3, customer=bob)

    assert {int(seen.external_id.removeprefix("event-")) for seen in OutboxView(tmp_path).calls(wanted)} == expected


def test_counts_are_by_state_reason_customer_and_model_with_exact_money(tmp_path: Path) -> None:
    """What Polar has counts as money, and not as waiting."""
    outbox = Outbox(tmp_path / "outbox-0.db")
    body = '{"external_customer_id":"user_42","metadata":{"cost_nanos":9007199254740993}}'
    ready(outbox, range(3), body=body)
    outbox.settle([1, 2], now=NOON)
    hold(outbox, 7, State.UNPRICED, "no price of gpt-9000", NOON - 5, response_model="gpt-9000")

    census = OutboxView(tmp_path).counts()

    sent, held = census.states[State.SENT], census.states[State.UNPRICED]
    assert (sent.calls, sent.cost_nanos, sent.unpriced) == (2, 2 * 9007199254740993, 0)
    assert (held.calls, held.cost_nanos, held.unpriced, held.oldest_at) == (1, 0, 1, NOON - 5)
    assert {key: found.calls for key, found in census.reasons.items()} == {(State.UNPRICED, "no price of gpt-9000"): 1}
    assert {name: found.calls for name, found in census.customers.items()} == {"user_42": 2}
    assert {name: found.calls for name, found in census.models.items()} == {"gpt-4o-mini-2024-07-18": 1, "gpt-9000": 1}


def test_damaged_rows_are_shown_as_what_they_are(tmp_path: Path) -> None:
    """A word that is no state, a time that is none, and JSON that is cut."""
    outbox = Outbox(tmp_path / "outbox-0.db")
    ready(outbox, range(2))
    outbox.database.write("UPDATE events SET state = 'redy', body = '{\"name\":', recorded_at = 'x' WHERE seq = 1", ())
    outbox.database.write("UPDATE events SET call = x'ff00' WHERE seq = 2", ())
    view = OutboxView(tmp_path)

    first, second = view.calls()

    assert (first.state, first.body, first.recorded_at) == (State.UNBUILDABLE, None, 0.0)
    assert (second.state, second.call) == (State.READY, None)
    assert [seen.external_id for seen in view.calls(Wanted(states=frozenset({State.UNBUILDABLE})))] == ["event-0"]
    assert numbers_of_states(view) == {State.UNBUILDABLE: 1, State.READY: 1}


def test_there_is_nothing_in_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """Nothing was ever recorded."""
    view = OutboxView(tmp_path / "none")

    assert (list(view.calls()), view.files(), view.put_aside()) == ([], [], [])
