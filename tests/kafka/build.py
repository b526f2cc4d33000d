"""A real Apache Kafka, fetched once with Maven: ``python -m tests.kafka.build`` prints the directory of its jars."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.servers.cache import cached

POM: Final = Path(__file__).with_name("pom.xml")


class CannotBuildError(Exception):
    """There is no Kafka here; the message says why."""


def build() -> Path:
    """The directory of its jars.

    Raises:
        CannotBuildError: if there is no Java or no Maven, or Maven cannot fetch them.
    """
    if missing := [tool for tool in ("java", "mvn") if shutil.which(tool) is None]:
        raise CannotBuildError(f"{' and '.join(missing)} is not installed")
    jars = cached("kafka", POM.read_bytes())
    if not jars.exists():
        jars.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=jars.parent) as place:
            fetched = Path(place) / "jars"
            _fetch(fetched)
            try:
                fetched.rename(jars)
            except OSError:
                # Somebody else has been quicker.
                if not jars.exists():
                    raise
    return jars


def _fetch(into: Path) -> None:
    arguments = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    maven = subprocess.run(
        ["mvn", "--quiet", "--batch-mode", "--file", str(POM), *arguments],  # noqa: S607 - wherever it is installed
        capture_output=True,
        text=True,
        check=False,
    )
    if maven.returncode != 0:
        raise CannotBuildError(f"Maven cannot fetch Kafka: {maven.stdout[-400:]}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except CannotBuildError as error:
        sys.exit(str(error))
