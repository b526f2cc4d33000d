"""The application: threads that make real spans of calls to a model as fast as they can, until something ends it.

``python -m tests.chaos.child <life as JSON>`` starts one afresh; ``nursery`` forks others from a process that has
imported everything and used nothing, as a server does that preloads its application.
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn
from uuid import UUID

from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.delivery import step, worker
from otel_polar.delivery.deciding import intake, window
from otel_polar.delivery.disk import lines, taking_in, transfer
from otel_polar.delivery.sending import sender
from otel_polar.polar_api import budget, retry_after
from tests.chaos.receipts import Call, Writer

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

TOKEN: Final = "polar_oat_storm_5f2ac1d08e"
CUSTOMER: Final = "customer-1c0ffee-"
"""How every customer's own id begins."""

CONTENT: Final = "nobody may ever read this sentence"
KNOWN_ID: Final = str(UUID("8f14e45f-ceea-467f-a0e6-1b2c3d4e5f60"))
UNKNOWN_ID: Final = str(UUID("8f14e45f-ceea-467f-a0e6-deadbeef0000"))

EXIT_CODE: Final = 7
"""Of ``os._exit`` in the middle of everything."""

DRAIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Life:
    """How one process lives, and whether it ends by itself. ``grain`` is the size of everything done in portions."""

    name: str
    seed: int
    directory: str
    url: str
    threads: int = 1
    bursts: int = 10
    burst: int = 20
    pause_s: float = 0.03
    fork: str = "never"
    """``before`` the first use, ``after`` it, or from a ``thread`` while the others go on."""

    exits_after: int | None = None
    """So many calls, and then ``os._exit`` by whichever thread made the last one."""

    handles_sigterm: bool = False
    daemon: bool = False
    flushes: bool = False
    settle_s: float = 0.05
    linger_s: float = 0.05
    grain: int = 500
    role: Literal["works", "works afresh", "reprices", "drains"] = "works"
    """It makes calls, also in a process that has imported everything by itself; or it is the command, in the middle of
    all; or it sends what the others have left."""

    def as_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))


def shorten_waits(life: Life) -> None:
    """A storm lasts seconds: what waits for minutes in production waits for a moment. And portions are *grain* large.

    These are all the constants of the package that a storm changes. Small portions make rare what is usual otherwise,
    and usual what is rare: a process that dies between two of them.
    """
    constants: dict[tuple[Any, ...], dict[str, float]] = {
        (step, worker): {"IDLE_S": 0.3, "AFTER_ERROR_S": 0.2},
        (sender,): {
            "FIRST_BACKOFF_S": 0.02,
            "MAX_BACKOFF_S": 0.2,
            "DENIED_WAIT_S": 0.1,
            "FIRST_SUSPECT_WAIT_S": 0.1,
            "MAX_SUSPECT_WAIT_S": 0.5,
            "EARLY_WAIT_S": 0.1,
            "MAX_BATCH_EVENTS": life.grain,
        },
        (budget,): {"BURST_REQUESTS": 50.0},
        (retry_after,): {"DEFAULT_RETRY_AFTER_S": 0.1, "MAX_RETRY_AFTER_S": 0.2},
        (intake, transfer): {"PORTION": life.grain},
        (window,): {"PORTION": life.grain, "MAX_CONTEXT": 4 * life.grain},
        (taking_in,): {"MAX_TAKEN_IN": 8 * life.grain, "SEGMENT_BYTES": 2_000 * life.grain},
        (lines,): {"PORTION_BYTES": 500 * life.grain},
    }
    for modules, values in constants.items():
        for module in modules:
            for name, value in values.items():
                assert hasattr(module, name), f"{module.__name__} has no {name} any more"
                setattr(module, name, value)


def environment(life: Life) -> dict[str, str]:
    """The application's settings."""
    return {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": life.url,
        "OTEL_POLAR_OUTBOX_DIR": f"{life.directory}/outbox",
        "OTEL_POLAR_RATE_CARD": f"{life.directory}/rates.toml",
        "OTEL_POLAR_SETTLE_S": str(life.settle_s),
        "OTEL_POLAR_LINGER_S": str(life.linger_s),
        "OTEL_POLAR_REQUEST_TIMEOUT_S": "0.3",
        "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000",
        "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "0.5",
    }


def appear(directory: Path, name: str) -> int:
    """Have a log of one's own, and hold a lock for as long as this process lives, on a file with its id."""
    alive = os.open(directory / "alive" / name, os.O_WRONLY | os.O_CREAT, mode=0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    os.write(alive, str(os.getpid()).encode())
    log = os.open(directory / "log" / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600)
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    return alive


class Application:
    """One process and what it does. After a fork there is another one."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.name = life.name
        self.writer = Writer(Path(life.directory))
        self._alive: int | None = None
        self.be_born()
        self.provider = TracerProvider()
        self.processor = PolarSpanProcessor()
        self.provider.add_span_processor(self.processor)
        self.tracer: Tracer = self.provider.get_tracer("opentelemetry.util.genai.handler")
        self._is_forked = False
        self._made = 0

    def be_born(self) -> None:
        """Be another process than the one it was forked from."""
        if self._alive is not None:
            os.close(self._alive)
        self._alive = appear(Path(self.life.directory), self.name)

    def live(self) -> None:
        """All of it; how it ends is up to others, or to ``exits_after``."""
        if self.life.fork == "before":
            self._fork()
        others = [
            threading.Thread(target=self._make_calls, args=(number,), daemon=self.life.daemon)
            for number in range(1, self.life.threads)
        ]
        for other in others:
            other.start()
        self._make_calls(0)
        for other in others:
            other.join()
        self.writer.finish(self.name)

    def _make_calls(self, thread: int) -> None:
        random = Random(f"{self.life.seed}/{self.name}/{thread}")
        number = 0
        for burst in range(self.life.bursts):
            for _ in range(random.randint(1, self.life.burst)):
                self._call(random, f"{self.name}.{thread}.{number}")
                number += 1
            forking_thread = {"after": 0, "thread": self.life.threads - 1}.get(self.life.fork)
            if thread == forking_thread and burst == self.life.bursts // 3 and not self._is_forked:
                self._fork()
                if self.name != self.life.name:
                    # The other threads stayed behind. The interpreter of a child that was forked from a thread would
                    # not be wound up if this one only ended, so it ends as those of multiprocessing do.
                    self.live()
                    self._end_as_a_worker()
            if self.life.flushes and random.random() < 0.2:
                self.processor.force_flush(random.randint(1, 300))
            time.sleep(random.uniform(0, self.life.pause_s))

    def _fork(self) -> None:
        self._is_forked = True
        if os.fork() == 0:
            self.name += "f"
            self.be_born()
            # Its handler would only end the thread that forked.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _end_as_a_worker(self) -> None:
        self.processor.force_flush(500)
        os._exit(0)

    def _call(self, random: Random, key: str) -> None:
        call = _a_call(random, key)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "storm-1",
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.input.messages": CONTENT,
        }
        if random.random() < 0.5:
            attributes["gen_ai.response.id"] = f"chatcmpl-{random.getrandbits(128):032x}"
        payer: dict[str, Any] = {"user_id": call.customer}
        if not call.customer.startswith(CUSTOMER):
            payer = {"customer_id": call.customer}
        if call.poison in {"schema", "curse"}:
            payer["poison"] = call.poison
        self.writer.begin(call)
        with bill_to(**payer, call=key):
            self.tracer.start_span("chat storm-1", attributes=attributes).end()
        self.writer.end(call)
        self._made += 1
        if self.life.exits_after is not None and self._made >= self.life.exits_after:
            os._exit(EXIT_CODE)

    def drain(self) -> None:
        """Send what all others have left; the lonely file that remains is this process's own."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            files = list(Path(self.life.directory).glob("outbox/*/outbox-*.db"))
            if self.processor.force_flush(1_000) and len(files) == 1:
                self.writer.finish(self.name)
                return


def _a_call(random: Random, key: str) -> Call:
    input_tokens = random.randint(1, 4_000)
    poison = random.choices(("-", "schema", "semantic", "curse"), weights=(400, 2, 2, 1))[0]
    customer = f"{CUSTOMER}{random.randint(0, 9)}"
    if poison == "semantic":
        customer = UNKNOWN_ID
    elif random.random() < 0.1:
        customer = KNOWN_ID
    return Call(key, customer, input_tokens, random.randint(0, input_tokens), random.randint(0, 900), poison)


def _end_on_sigterm(number: int, _frame: object) -> None:
    # While the interpreter winds itself up an exception would only be printed.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def run(life: Life) -> None:
    """One life, from its settings on. When this returns the interpreter is to end, as any program's does."""
    os.environ.update(environment(life))
    if life.role == "works afresh":
        _become("tests.chaos.child", replace(life, role="works").as_json())
    if life.role == "reprices":
        # The lock is the command's, too.
        os.set_inheritable(appear(Path(life.directory), life.name), True)  # noqa: FBT003 - the system's own
        _become("otel_polar", "outbox", "reprice", "--timeout", "1")
    shorten_waits(life)
    logging.basicConfig(level=logging.WARNING, force=True)
    logging.getLogger("otel_polar").setLevel(logging.DEBUG)
    faulthandler.register(signal.SIGUSR1)
    if life.handles_sigterm:
        signal.signal(signal.SIGTERM, _end_on_sigterm)
    application = Application(life)
    if life.role == "drains":
        application.drain()
    else:
        application.live()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _become(*arguments: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    run(Life(**json.loads(sys.argv[1])))
