"""Specifies the making of the Collector: once, whole or not at all, and where it cannot be made it is said why."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.collector.build import NoGoError, collector

if TYPE_CHECKING:
    from pathlib import Path

GO = f"""#!{sys.executable}
import pathlib, re, sys
here = pathlib.Path(__file__).parent
if sys.argv[1] == "version":
    print("go version", (here / "version").read_text(), "linux/amd64")
    sys.exit(0)
with (here / "builds").open("a") as builds:
    builds.write("one\\n")
if (here / "fails").exists():
    sys.exit("cannot find module")
config = pathlib.Path(sys.argv[-2].removeprefix("--config=")).read_text()
out = pathlib.Path(re.search("output_path: (.*)", config)[1])
out.mkdir()
(out / "otelcol").write_text("a Collector")
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that builds in no time, and counts how often; the directory it is in."""
    home = tmp_path / "go"
    home.mkdir()
    (home / "go").write_text(GO)
    (home / "go").chmod(0o700)
    (home / "version").write_text("go1.26.8")
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home


def builds(go: Path) -> int:
    return len((go / "builds").read_text().splitlines())


def test_several_at_once_build_it_once(go: Path) -> None:
    """It takes minutes and two gigabytes."""
    with ThreadPoolExecutor(4) as pool:
        built = set(pool.map(lambda _: collector(), range(4)))

    assert builds(go) == 1
    assert [path.read_text() for path in built] == ["a Collector"]


def test_what_could_not_be_built_is_told_and_tried_again(go: Path) -> None:
    """The network comes back; half a Collector must not stay."""
    (go / "fails").touch()
    with pytest.raises(RuntimeError, match="cannot find module"):
        collector()
    (go / "fails").unlink()

    built = collector()

    assert builds(go) == 2
    assert sorted(path.name for path in built.parent.iterdir()) == ["lock", "otelcol"]


def test_another_go_builds_another_one(go: Path) -> None:
    """A fault may lie in either."""
    first = collector()
    (go / "version").write_text("go1.27.0")

    assert collector() != first
    assert builds(go) == 2


def test_without_go_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is what a skipped test shows."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoGoError, match="no Go here"):
        collector()


def test_a_go_that_is_too_old_is_as_good_as_none(go: Path) -> None:
    """Debian 12 has 1.19, which fails after minutes, and does not say for what."""
    (go / "version").write_text("go1.19.8")

    with pytest.raises(NoGoError, match=r"go1\.19\.8, and it takes 1\.25"):
        collector()
