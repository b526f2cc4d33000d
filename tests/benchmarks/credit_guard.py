"""What it costs a call to ask for credit and to give it back, when the customer's balance is known.

Compared with one bare SQLite commit in a file like the guard's: a reservation is one of these, and so is its end. Both
run alternately, and the figure is the ratio of the two medians.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_polar.sandbox import SandboxServer
from tests.credits.support import an_application, give_credits, guarding, make_calls, make_customer, make_meter

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS: Final = 2_000
USERS: Final = 20
WAITING: Final = 1_000
"""Calls that wait in the outbox meanwhile."""


def run() -> Iterator[str]:
    """The figures, a line each."""
    with SandboxServer() as server, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        meter_id = make_meter(server)
        users = [f"user_{number}" for number in range(USERS)]
        for user in users:
            make_customer(server, user)
            give_credits(server, meter_id, 10**9, user)
        with (
            an_application(server.url, directory) as processor,
            guarding(server.url, directory, requests_per_minute=10_000, max_age_s=600) as guard,
        ):
            for user in users:
                make_calls(processor, WAITING // USERS, user)
                # The first one asks Polar, and looks at all that waits.
                guard.require(user, 1).release()
            bare = sqlite3.connect(directory / "bare.db", isolation_level=None, cached_statements=0)
            for statement in ("PRAGMA synchronous = OFF", "PRAGMA journal_mode = PERSIST"):
                bare.execute(statement)
            bare.execute("CREATE TABLE rows (body TEXT)")
            ours_ns: list[int] = []
            bare_ns: list[int] = []
            for number in range(CALLS):
                user = users[number % USERS]
                begun_ns = time.perf_counter_ns()
                with guard.require(user, 1):
                    pass
                ours_ns.append(time.perf_counter_ns() - begun_ns)
                begun_ns = time.perf_counter_ns()
                bare.execute("INSERT INTO rows VALUES ('1')")
                bare_ns.append(time.perf_counter_ns() - begun_ns)
            bare.close()
    ours, one_commit = statistics.median(ours_ns) / 1e3, statistics.median(bare_ns) / 1e3
    slowest = statistics.quantiles(ours_ns, n=100)[-1] / 1e3
    yield (
        f"require and release / a bare SQLite commit: {ours / one_commit:.1f} (limit 10); {ours:.0f} us against"
        f" {one_commit:.0f} us; 99th percentile {slowest:.0f} us"
    )
