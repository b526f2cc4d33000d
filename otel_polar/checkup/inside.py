"""The set-up of an application, done in a process of its own and looked at: ``doctor --app module:function``.

In a process of its own, because the set-up may print, end or hang; and because the files that it opens are then not
open in the one that reads them. Run as ``python -m otel_polar.checkup.inside module:function DESCRIPTOR``: it writes
findings as lines of JSON to that file descriptor. What the application prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final

from opentelemetry.trace import TracerProvider

from otel_polar.checkup.application import provider_in_use
from otel_polar.checkup.doctor import asked_of
from otel_polar.checkup.finding import Finding, problem, unknown
from otel_polar.checkup.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTIONS: Final = frozenset({"application", "sampling", "propagation", "instrumentations"})
SETUP_CHECK: Final = "application.setup"
END_S: Final = 10.0
"""For what the application does when it ends, such as sending what it has."""


def look_inside(target: str, timeout_s: float) -> Iterator[Finding]:
    """What is found in the application that *target* (``module:function``) sets up, within *timeout_s* seconds."""
    read, write = os.pipe()
    with os.fdopen(read) as answers:
        process = subprocess.Popen(  # noqa: S603 - what the user has named
            [sys.executable, "-m", __name__, target, str(write)],
            pass_fds=(write,),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )
        os.close(write)
        yield from _until_end(process, answers, target, timeout_s)


def _until_end(process: subprocess.Popen[bytes], answers: IO[str], target: str, timeout_s: float) -> Iterator[Finding]:
    found = False
    has_run_out = threading.Event()

    def give_up() -> None:
        has_run_out.set()
        _kill(process)

    watch = threading.Timer(timeout_s, give_up)
    watch.daemon = True
    watch.start()
    try:
        for line in answers:
            found = True
            yield Finding.from_json(json.loads(line))
        watch.cancel()
        status = _ended(process)
    finally:
        watch.cancel()
        _kill(process)
    if found:
        return
    if has_run_out.is_set():
        yield unknown(
            SETUP_CHECK,
            f"{target} has not returned within {timeout_s:g} s",
            why="It has to set up and return, not to serve.",
            do=("otel-polar doctor --app module:function    # a function that sets up, and nothing else",),
        )
    else:
        yield unknown(
            SETUP_CHECK,
            f"{target} ended its process ({status}) before anything could be looked at",
            why="It has to return.",
        )


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its children, too: a set-up may have started some.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _set_up(target: str) -> Iterator[Finding]:
    """Do what the application does, and tell what is found; a set-up that fails is a finding."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - an entry of the path is text
    try:
        answer = _named(target)()
    except _NoFunctionError as error:
        yield problem(
            SETUP_CHECK,
            f"MODULE:FUNCTION must name a function that can be imported, and {target!r} does not: {error}",
            why="The application was not looked at.",
            do=("otel-polar doctor --app MODULE:FUNCTION    # in a directory from which MODULE can be imported",),
        )
        return
    except BaseException as error:  # noqa: BLE001 - an application may do anything
        _print_theirs(error)
        yield problem(
            SETUP_CHECK,
            f"{target} cannot be set up: {type(error).__name__}: {error}",
            why="The application was not looked at.",
            do=("# what it says is above; run it where the application runs, with its variables",),
        )
        return
    provider = answer if isinstance(answer, TracerProvider) else provider_in_use()
    yield from walk(asked_of(provider, SECTIONS))


class _NoFunctionError(Exception):
    """What of ``module:function`` is wrong."""


def _named(target: str) -> Callable[[], Any]:
    """The function; one that does nothing where only a module is named, which is imported."""
    module_name, _, name = target.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise _NoFunctionError(f"{module_name!r} is no name of a module")
    try:
        subject: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        # One that the application itself imports, and that is not there, is the application's error.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise _NoFunctionError(f"there is no module {error.name!r}") from None
    if not name:
        return lambda: None
    above = module_name
    for part in name.split("."):
        try:
            subject = getattr(subject, part)
        except AttributeError:
            raise _NoFunctionError(f"{above!r} has no {part!r}") from None
        above = f"{above}.{part}"
    if not callable(subject):
        raise _NoFunctionError(f"{above!r} cannot be called: it is of type {type(subject).__name__}")
    called: Callable[[], Any] = subject
    return called


def _print_theirs(error: BaseException) -> None:
    """The traceback, from where the application's own code begins; none if it was not reached."""
    step = error.__traceback__
    while step is not None and _is_ours(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    if step is not None or isinstance(error, SyntaxError):
        traceback.print_exception(error.with_traceback(step))


def _is_ours(file: str) -> bool:
    return file in {__file__, import_module.__code__.co_filename} or file.startswith("<frozen importlib")


def main(target: str, descriptor: str) -> None:
    """Write every finding as a line, and let the application end as it does."""
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as answers:
        for finding in _set_up(target):
            answers.write(f"{json.dumps(finding.as_json())}\n")
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
