"""The command as users run it, in a process of its own: its arguments, environment, streams and exit code are real.

Importing it takes most of a second, and there are hundreds of runs. A process that has imported everything and used
nothing forks one for each of them. It has no threads, so what it forks is as good as new.
Run as ``python -m tests.cli.command``: it reads one run as JSON on each line, and answers with its exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 60
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_OURS: Final = ("POLAR_", "OTEL_")
# Imported by the command when it needs them.
_PRELOADED: Final = (
    "otel_polar.cli.app",
    "otel_polar.billing.catalog.catalog",
    "otel_polar.delivery.sending.polar",
    "otel_polar.delivery.sending.sender",
    "otel_polar.service.stored.preview",
    "otel_polar.service.stored.replaying",
    "otel_polar.service.stored.spans",
    "otel_polar.reconciliation.against",
    "otel_polar.account.setup",
    "otel_polar.account.syncing",
    "rich.table",
    # httpx imports it when the first client is made.
    "httpcore",
    # What `doctor` tries to import.
    "otel_polar.checkup.application",
    "otel_polar.checkup.polar",
    "opentelemetry.instrumentation.botocore",
    "opentelemetry.instrumentation.openai_v2",
    # By httpx, with the first request.
    "certifi",
    "encodings.idna",
    "httpcore",
    "trio",
)


def run_command(
    *arguments: str, env: Mapping[str, str] = NO_VARIABLES, stdin: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """A command that has ended. Of *our* variables it sees those in *env* only."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    environment |= {"COLUMNS": "120", "NO_COLOR": "1", **env}
    with tempfile.TemporaryDirectory() as directory:
        streams = {name: str(Path(directory) / name) for name in ("stdin", "stdout", "stderr")}
        Path(streams["stdin"]).write_text(stdin, encoding="utf-8")
        run = {"arguments": arguments, "environment": environment, "cwd": str(cwd), **streams}
        status = _Preloaded.one().run(run)
        stdout, stderr = (Path(streams[name]).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(arguments, status, stdout, stderr)


class _Preloaded:
    """The far end of the process that forks."""

    _running: _Preloaded | None = None

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        atexit.register(self.close)

    @classmethod
    def one(cls) -> _Preloaded:
        """The one of this process, started when it is first needed."""
        if cls._running is None or cls._running._pid != os.getpid():
            cls._running = cls()
        return cls._running

    def run(self, run: Mapping[str, Any]) -> int:
        """How it ended, as ``subprocess`` tells it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(run)}\n")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """At the end of its input it ends."""
        if self._pid == os.getpid():
            self._process.communicate()


def _serve() -> dict[str, Any] | None:
    """Answer requests; in a forked child, return the run it is for."""
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            run: dict[str, Any] = json.loads(line)
            return run
        signal.signal(signal.SIGALRM, lambda *_, pid=pid: os.kill(pid, signal.SIGKILL))
        signal.alarm(TIMEOUT_S)
        _, status = os.waitpid(pid, 0)
        signal.alarm(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


def _become(run: dict[str, Any]) -> NoReturn:
    """Be the command."""
    for number, (name, flags) in enumerate((("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT))):
        os.dup2(os.open(run[name], flags, 0o600), number)
    os.dup2(os.open(run["stderr"], os.O_WRONLY | os.O_CREAT, 0o600), 2)
    os.environ.clear()
    os.environ.update(run["environment"])
    os.chdir(run["cwd"])
    sys.argv = ["otel-polar", *run["arguments"]]
    # Otherwise its usage would say that it is this module.
    sys.modules["__main__"].__package__ = None
    from otel_polar.cli import main  # noqa: PLC0415 - it is imported already

    main()
    sys.exit(0)


if __name__ == "__main__":
    for module in _PRELOADED:
        # Not all of them are ours to ask for.
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    # At its end an interpreter looks at all it has: a third of a second, for what none of the forked ones has made; and
    # to look through it for garbage would copy all of it.
    gc.collect()
    gc.freeze()
    if (own := _serve()) is not None:
        _become(own)
