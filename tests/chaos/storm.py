"""One storm: what its seed says happens to Polar and to the applications, then calm, and the verdict."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from tests.chaos import weather
from tests.chaos.child import EXIT_CODE, KNOWN_ID, TOKEN, Life
from tests.chaos.polar import Polar
from tests.chaos.receipts import RATE_CARD, read_receipts
from tests.chaos.verdict import Evidence, problems, read_outboxes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.nursery import Nursery

TICK_S: Final = 0.01
MAX_STORM_S: Final = 30.0
"""Whoever has not come to an end by then waits for something that never comes."""

GRAINS: Final = (3, 20, 100, 500)


@dataclass(slots=True)
class Report:
    """What became of a storm."""

    seed: int
    problems: list[str] = field(default_factory=list)
    calls: int = 0
    open_calls: int = 0
    rejected: int = 0
    processes: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(slots=True)
class _Place:
    """Processes that run one after the other: an application that is restarted."""

    lives: list[Life]
    begins_at: float
    name: str = ""
    role: str = ""
    pid: int | None = None
    kill_at: float | None = None
    kill_by: signal.Signals = signal.SIGKILL


class Storm:
    """One seed, in one directory."""

    def __init__(self, seed: int, directory: Path, nursery: Nursery) -> None:
        self.report = Report(seed)
        self._random = Random(seed)
        self._directory = directory
        self._nursery = nursery
        self._polar = Polar(
            weather.storm(seed),
            token=TOKEN,
            customer_ids={KNOWN_ID},
            curses=self._random.random() < 0.3,
        )
        self._polar.on_kill = self._ask_for_a_death
        self._death_is_asked_for = threading.Event()
        self._has_died = threading.Event()
        self._doomed: dict[str, float] = {}
        self._killed: set[str] = set()
        for name in ("alive", "log"):
            (directory / name).mkdir()
        (directory / "rates.toml").write_text(RATE_CARD)

    def run(self) -> Report:
        """All of it."""
        begin = time.monotonic()
        report = self.report
        with self._polar:
            self._let_it_storm()
            self._polar.calm()
            self._polar.on_kill = lambda: None
            self._drain()
        receipts = read_receipts(self._directory)
        evidence = Evidence(receipts, self._polar.ledger, self._polar.rewritten)
        evidence.logs = {path.name: path.read_text() for path in (self._directory / "log").iterdir()}
        everybody = {path.name for path in (self._directory / "alive").iterdir()}
        evidence.deaths = len(self._killed | (everybody - receipts.finished))
        read_outboxes(self._directory / "outbox", evidence)
        report.problems += problems(evidence)
        if self._polar.refused_tokens:
            report.problems.append(f"{self._polar.refused_tokens} requests had another token")
        report.calls = len(receipts.calls)
        report.open_calls = len(receipts.calls) - len(receipts.ended)
        report.rejected = sum(row.state == "rejected" for row in evidence.rows)
        report.processes = len(everybody)
        report.turns = self._polar.turns
        report.seconds = time.monotonic() - begin
        return report

    def _let_it_storm(self) -> None:
        places = [self._a_place(slot) for slot in range(self._random.randint(1, 4))]
        until = time.monotonic() + MAX_STORM_S
        while time.monotonic() < until:
            over = [self._tend(place) for place in places]
            living = self._living()
            if all(over) and not living:
                return
            self._kill_children_of(living)
            if self._death_is_asked_for.is_set():
                self._kill_someone(living)
                self._death_is_asked_for.clear()
                self._has_died.set()
            time.sleep(TICK_S)
        living = self._living()
        for name in living:
            self.report.problems.append(f"{name} did not come to an end; where it was stands in the log")
            self._signal(name, signal.SIGUSR1)
        time.sleep(0.5)
        for name in living:
            self._signal(name, signal.SIGKILL)

    def _a_place(self, slot: int) -> _Place:
        random = self._random
        lives = []
        for number in range(random.randint(1, 4)):
            life = Life(
                name=f"s{slot}l{number}",
                seed=self.report.seed,
                directory=str(self._directory),
                url=self._polar.url,
                threads=random.randint(1, 4),
                bursts=random.randint(5, 30),
                burst=random.choice((1, 5, 40)),
                pause_s=random.choice((0.0, 0.03, 0.1)),
                fork=random.choice(("never", "never", "before", "after", "thread")),
                exits_after=random.randint(1, 150) if random.random() < 0.25 else None,
                handles_sigterm=random.random() < 0.5,
                daemon=random.random() < 0.3,
                flushes=random.random() < 0.3,
                settle_s=random.choice((0.0, 0.05, 0.3)),
                linger_s=random.choice((0.0, 0.05, 0.3)),
                grain=random.choice(GRAINS),
                role=random.choices(("works", "works afresh", "reprices"), weights=(30, 1, 1))[0],
            )
            lives.append(life)
        return _Place(lives, begins_at=time.monotonic() + random.uniform(0, 0.5))

    def _tend(self, place: _Place) -> bool:
        """Start, kill and restart; whether all its lives are over."""
        now = time.monotonic()
        if place.pid is None:
            if not place.lives:
                return True
            if now >= place.begins_at:
                life = place.lives.pop(0)
                place.name, place.role, place.pid = life.name, life.role, self._nursery.start(life)
                how = self._random.choice((None, None, signal.SIGKILL, signal.SIGTERM))
                after_s = self._random.uniform(0.0, 1.5)
                place.kill_at, place.kill_by = (None if how is None else now + after_s), how or signal.SIGKILL
            return False
        status = self._nursery.exit_status(place.pid)
        if status is not None:
            self._note_end(place, status)
            place.pid = None
            place.begins_at = now + self._random.choice((0.0, 0.0, 0.3))
        elif place.kill_at is not None and now >= place.kill_at:
            place.kill_at = None
            self._killed.add(place.name)
            os.kill(place.pid, place.kill_by)
        return False

    def _note_end(self, place: _Place, status: int) -> None:
        expected = {0: "by itself", EXIT_CODE: "os._exit", -signal.SIGKILL: "SIGKILL", -signal.SIGTERM: "SIGTERM"}
        if place.role == "reprices":
            expected[1] = "with calls left to send"
        self.report.ends[expected.get(status, "otherwise")] += 1
        if status not in expected:
            self.report.problems.append(f"{place.name} ended with {status}")

    def _kill_children_of(self, living: dict[str, int]) -> None:
        """Some of those that were forked by an application are killed, too."""
        now = time.monotonic()
        for name in living:
            if name.endswith("f") and name not in self._doomed:
                fate = Random(f"{self.report.seed}/{name}/fate")
                self._doomed[name] = now + (fate.uniform(0.0, 1.0) if fate.random() < 0.5 else 2 * MAX_STORM_S)
            if self._doomed.get(name, now + 1) <= now:
                self._doomed[name] = now + 2 * MAX_STORM_S
                self._signal(name, signal.SIGKILL)

    def _ask_for_a_death(self) -> None:
        """Polar has stored something, and has not answered yet."""
        self._has_died.clear()
        self._death_is_asked_for.set()
        self._has_died.wait(0.3)

    def _kill_someone(self, living: dict[str, int]) -> None:
        if living:
            self._signal(self._random.choice(sorted(living)), signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        pid = self._living().get(name)
        if pid is not None:
            self._killed.add(name)
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _living(self) -> dict[str, int]:
        """The processes of this storm that live, by name."""
        files = [path for path in (self._directory / "alive").iterdir() if _is_held(path)]
        return {path.name: int(pid) for path in files if (pid := path.read_text())}

    def _drain(self) -> None:
        life = Life("drain", self.report.seed, str(self._directory), self._polar.url, role="drains")
        pid = self._nursery.start(life)
        while (status := self._nursery.exit_status(pid)) is None:
            time.sleep(TICK_S)
        if status != 0:
            self.report.problems.append(f"the process that sends what is left ended with {status}")


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
