"""Specifies that a Celery worker bills whoever asked for the work, with OpenTelemetry's own instrumentation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unmeasured import unmeasured_environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("propagator", "variables", "payers"),
    [
        ("standard", {}, ["alice", "bob", None]),
        ("guarded", {"OTEL_POLAR_TRUST_BAGGAGE": "true"}, ["alice", "bob", None]),
        ("guarded", {"OTEL_POLAR_BAGGAGE_SECRET": "a secret of the whole fleet"}, ["alice", "bob", None]),
        ("guarded", {}, [None, None, None]),
    ],
    ids=["standard", "guarded and trusted", "guarded and signed", "guarded alone"],
)
def test_who_asked_for_the_work_pays_for_it(
    propagator: str, variables: dict[str, str], payers: list[str | None], tmp_path: Path
) -> None:
    """The identity travels in the message's headers; whether a worker believes it is said by its settings."""
    environment = {**unmeasured_environment(), "OUTBOX": str(tmp_path), "OTEL_POLAR_SETTLE_S": "3600", **variables}
    result = subprocess.run(
        [sys.executable, "-m", "tests.capture.celery_app", propagator],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == payers
