"""Builds the Collector that the tests run: once for a manifest and a Go, and kept in the user's cache directory.

``python -m tests.collector.build`` prints where it is. OpenTelemetry's own builder makes it, from source.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from filelock import FileLock

from tests.servers.cache import cached

MANIFEST: Final = Path(__file__).with_name("builder.yaml")
OLDEST_GO: Final = (1, 25)
"""What the builder's go.mod asks for."""

_VERSION: Final = re.compile(r"^ +version: (\S+)$", re.MULTILINE)
_GO: Final = re.compile(r"go version (go(\d+)\.(\d+)\S*) ")
_LAST_CHARACTERS: Final = 2_000


class NoGoError(RuntimeError):
    """There is nothing here to build it with. The message says why."""


def collector() -> Path:
    """Where the Collector is; it is built, which takes minutes, if it is not there yet.

    Raises:
        NoGoError: if it is not there and cannot be built here.
        RuntimeError: if the builder fails; the message ends as its output did.
    """
    go, version = _go()
    home = cached("collector", MANIFEST.read_bytes() + version.encode())
    home.mkdir(parents=True, exist_ok=True)
    built = home / "otelcol"
    # Whoever comes second waits for the first, and finds it done.
    with FileLock(home / "lock"):
        if not built.exists():
            _build(go, built)
    return built


def _go() -> tuple[str, str]:
    go = shutil.which("go")
    if go is None:
        raise NoGoError("no Go here: `go` is not on the PATH")
    told = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    found = _GO.match(told)
    if found is None:
        raise NoGoError(f"no Go here: `go version` says {told!r}")
    if (int(found[2]), int(found[3])) < OLDEST_GO:
        raise NoGoError(f"no Go here that is new enough: {found[1]}, and it takes {OLDEST_GO[0]}.{OLDEST_GO[1]}")
    return go, found[1]


def _build(go: str, built: Path) -> None:
    manifest = MANIFEST.read_text()
    version = _VERSION.search(manifest)
    assert version is not None
    # Beside the place where it will stand, so that a rename puts it there whole.
    with tempfile.TemporaryDirectory(dir=built.parent) as work:
        copy = Path(work, "builder.yaml")
        copy.write_text(manifest.replace("dist:\n", f"dist:\n  output_path: {work}/out\n", 1))
        builder = f"go.opentelemetry.io/collector/cmd/builder@v{version[1]}"
        ended = subprocess.run(
            [go, "run", builder, f"--config={copy}", "--ldflags=-s -w"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=work,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"the Collector could not be built:\n{ended.stdout[-_LAST_CHARACTERS:]}")
        Path(work, "out", "otelcol").rename(built)


if __name__ == "__main__":
    sys.stdout.write(f"{collector()}\n")
