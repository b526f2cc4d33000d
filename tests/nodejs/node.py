"""A Node.js application: the example's telemetry, a script, and the packages that the example asks for.

Packages are installed once for a ``package.json`` and kept in the user's cache directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock

from tests.servers.cache import cached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "nodejs"
CALLS: Final = Path(__file__).parent
OLDEST_NODE: Final = 20

_INSTALL: Final = ("install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
_INSTALL_S: Final = 300
_RUN_S: Final = 60
_UNREACHABLE: Final = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b")
_FIRST_CHARACTERS: Final = 200


class NoNodeError(RuntimeError):
    """Nothing can be run here. The message says why."""


@cache
def node_modules() -> Path:
    """The installed packages; they are fetched from npm's registry if they are not there yet.

    Raises:
        NoNodeError: without Node.js or npm, with an older one, or where npm cannot reach its registry.
        AssertionError: if npm fails in any other way.
    """
    _check_version(_program("node"))
    npm = _program("npm")
    manifest = (EXAMPLE / "package.json").read_bytes()
    home = cached("nodejs", manifest)
    home.mkdir(parents=True, exist_ok=True)
    installed = home / "installed"
    # Whoever comes second waits for the first, and finds it done.
    with FileLock(home / "lock"):
        if not installed.exists():
            (home / "package.json").write_bytes(manifest)
            done = subprocess.run(
                [npm, *_INSTALL, "--prefix", str(home)],
                capture_output=True,
                text=True,
                timeout=_INSTALL_S,
                check=False,
            )
            if _UNREACHABLE.search(done.stderr):
                raise NoNodeError(f"npm cannot reach its registry: {done.stderr.strip()[:_FIRST_CHARACTERS]}")
            assert done.returncode == 0, done.stderr
            installed.touch()
    return home / "node_modules"


@contextmanager
def started(
    script: str, *arguments: str, application: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """*script*, one of the example or of these tests, as a process in the new directory *application*."""
    application.mkdir()
    for source in (*EXAMPLE.glob("*.mjs"), *CALLS.glob("*.mjs"), EXAMPLE / "package.json"):
        shutil.copy(source, application)
    (application / "node_modules").symlink_to(node_modules())
    process = subprocess.Popen(
        [_program("node"), "--import", "./telemetry.mjs", script, *arguments],
        cwd=application,
        env={**os.environ, "OPENAI_API_KEY": "sk-test", "OTEL_SERVICE_NAME": "node-app", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> str:
    """What *process* prints.

    Raises:
        AssertionError: if it ends otherwise than by itself and without a fault.
    """
    printed, faults = process.communicate(timeout=_RUN_S)
    assert (process.returncode, faults) == (0, ""), faults
    return printed


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoNodeError(f"no Node.js here: `{name}` is not on the PATH")
    return found


def _check_version(node: str) -> None:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise NoNodeError(f"no Node.js here that is new enough: {version}, and the example takes {OLDEST_NODE}")


if __name__ == "__main__":
    sys.stdout.write(f"{node_modules()}\n")
