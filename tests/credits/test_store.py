"""Specifies the file that processes share, and what becomes of calls when it cannot be used."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

import pytest

from otel_polar import InsufficientCredits
from otel_polar.credits.figures import ZERO, OwnUsage, Reading, balance_of
from otel_polar.credits.process import own_process
from otel_polar.credits.store import FILE_NAME, Account, Store
from otel_polar.errors import OutboxError
from tests.credits.support import USER, a_customer_with, guarding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

NOW = 1_790_856_000.0
HUNDRED = Decimal(100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path, reservation_s=900.0)
    yield opened
    opened.close()


def reserve(store: Store, *, now: float = NOW, process: str | None = None) -> int | None:
    """A hundred of what is a hundred and fifty."""

    def is_covered(account: Account) -> bool:
        return account.reserved + HUNDRED <= 150

    _, number = store.reserve(
        "user", "meter", HUNDRED, is_covered=is_covered, process=process or own_process(), now=now, seen_until=0.0
    )
    return number


def file_in(directory: Path) -> Path:
    """The guard's, in the directory of the server and the token."""
    (path,) = directory.glob(f"*/{FILE_NAME}")
    return path


def test_a_reservation_counts_until_it_expires(store: Store) -> None:
    """Whoever forgets to release one must not lock a customer out for ever."""
    assert reserve(store) is not None
    assert reserve(store, now=NOW + 899) is None
    assert reserve(store, now=NOW + 901) is not None


def test_a_released_reservation_counts_until_its_call_has_been_seen(store: Store) -> None:
    """Between its end and the next look at the outbox a call would be neither reserved nor pending."""
    number = reserve(store)
    assert number is not None
    store.release(number, actual=Decimal(30), now=NOW + 1)

    unseen = store.account("user", "meter", now=NOW + 2, seen_until=NOW + 0.5)
    seen = store.account("user", "meter", now=NOW + 2, seen_until=NOW + 1.5)

    assert [unseen.reserved, seen.reserved] == [30, 0]


def test_a_reservation_of_another_container_is_not_taken_for_dead(store: Store) -> None:
    """Its process is in another namespace, where the same number is somebody else."""
    namespace, pid, start = own_process().split(":")
    assert reserve(store, process=f"{namespace}1:{pid}:{start}") is not None
    assert reserve(store) is None


@pytest.mark.parametrize("gone", ["{namespace}:{pid}:{start}9", "{namespace}:4194305:{start}"])
def test_a_reservation_of_a_process_that_has_ended_does_not_count(store: Store, gone: str) -> None:
    """A pid is given again: by its start it is another process."""
    namespace, pid, start = own_process().split(":")
    gone = gone.format(namespace=namespace, pid=pid, start=start)
    assert reserve(store, process=gone) is not None
    assert reserve(store) is not None


def test_no_more_requests_are_made_in_any_minute_than_the_budget(store: Store) -> None:
    """Neither at once nor over the turn of a minute."""
    asked = [store.may_ask(2, per_minute=5, now=NOW + second) for second in (0, 1, 2, 59, 61, 62)]

    assert asked == [True, True, False, False, True, True]


def test_nobody_asks_while_polar_wants_a_pause(store: Store) -> None:
    """A 429 is for the whole organization."""
    store.pause(NOW + 30)

    assert [store.may_ask(1, per_minute=5, now=NOW + second) for second in (29, 31)] == [False, True]


def test_a_clock_that_is_set_back_does_not_stop_anything(store: Store) -> None:
    """What was reserved a moment before may still be used, but for no longer than anything else."""
    reserve(store, now=NOW + 7_200)
    assert store.may_ask(5, per_minute=5, now=NOW + 7_200)

    assert reserve(store) is None
    assert store.may_ask(5, per_minute=5, now=NOW)
    store.tidy_up(now=NOW, seen_for_s=60.0)
    assert reserve(store, now=NOW + 899) is None
    assert reserve(store, now=NOW + 901) is not None


def test_another_guard_does_not_take_this_ones_lock(store: Store, tmp_path: Path) -> None:
    """Closing a file takes every lock on it from the process: a second process would write at the same moment."""
    reserve(store)
    other = Store(tmp_path, reservation_s=900.0)
    with store._transaction("BEGIN IMMEDIATE"):
        assert other.account("user", "meter", now=NOW, seen_until=0.0).reserved == HUNDRED
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        second = subprocess.run(
            [sys.executable, "-c", script, str(store.path)], capture_output=True, text=True, check=False
        )
    other.close()

    assert "database is locked" in second.stderr


def test_the_applications_decimals_do_not_round_credits(store: Store) -> None:
    """It may have any precision, and credits are exact."""
    reading = Reading(NOW, is_known=True, credited=Decimal(1_234_567_890), consumed=Decimal(1_234_567_889))
    with localcontext(prec=3):
        assert balance_of(reading, OwnUsage(Decimal(12_345), ZERO), Decimal(1), is_stale=False).available == -12_345
        reserve(store)
        assert store.account("user", "meter", now=NOW, seen_until=0.0).reserved == HUNDRED


def test_an_older_reading_does_not_replace_a_younger_one(store: Store) -> None:
    """Two processes asked, and the slower one answers last."""
    younger = Reading(NOW + 1, is_known=True, polar_id="id", credited=HUNDRED, quantity=Decimal("0.5"))
    store.keep("user", "meter", younger)

    known = store.keep("user", "meter", Reading(NOW))

    assert known == younger._replace(offset=Decimal("0.5"))
    assert store.account("user", "meter", now=NOW, seen_until=0.0).reading == known


def test_the_file_is_for_its_owner_only(store: Store, tmp_path: Path) -> None:
    """It has ids of customers in it."""
    reserve(store)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"{FILE_NAME}*")}
    assert modes == {0o600}


def test_what_counts_no_more_is_forgotten(store: Store, tmp_path: Path) -> None:
    """A file that grows with every call fills the disk."""
    for number in range(10):
        made = reserve(store, now=NOW + 1_000 * number)
        assert made is not None
        store.release(made, actual=None, now=NOW + 1_000 * number)
    store.tidy_up(now=NOW + 20_000, seen_for_s=60.0)

    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM reservations").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("told", ["allow", "refuse"])
def test_a_damaged_file_is_as_told_and_said_once(
    polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    """A guard that cannot count must not raise anything but what it was told to."""
    a_customer_with(polar_sandbox, 100)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        guard.require(USER, 1).release()
    file_in(tmp_path).write_bytes(b"this is no database" * 1_000)

    with guarding(polar_sandbox.url, tmp_path, when_unreachable=told) as guard:
        reasons = []
        for _ in range(3):
            try:
                guard.require(USER, 1).release()
                reasons.append("")
            except InsufficientCredits as error:
                reasons.append(error.reason)
        assert not guard.balance(USER).is_known
        assert reasons == ["unreachable" if told == "refuse" else ""] * 3
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1

        # Whoever removes it has a guard again.
        file_in(tmp_path).unlink()
        assert guard.require(USER, 1).decision.verdict == "covered"


def test_a_file_that_others_hold_stalls_nobody(
    polar_sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debugger, a backup, a process that was stopped: the application goes on."""
    monkeypatch.setattr("otel_polar.credits.store.MAX_LOCK_WAIT_S", 0.1)
    a_customer_with(polar_sandbox, 100)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        guard.require(USER, 1).release()
        holder = sqlite3.connect(file_in(tmp_path), isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        held = guard.require(USER, 1)
        holder.execute("ROLLBACK")
        holder.close()

        assert (held.decision.verdict, held.decision.is_allowed) == ("unreachable", True)
        assert guard.require(USER, 1).decision.verdict == "covered"


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Nobody finds a file that is not named."""
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file", reservation_s=900.0)

    with pytest.raises(OutboxError, match=FILE_NAME):
        store.may_ask(1, per_minute=1, now=NOW)
