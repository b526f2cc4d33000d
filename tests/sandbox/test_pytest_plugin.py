"""The plugin, as a user's own test run meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unmeasured import unmeasured_environment

PLUGIN = "otel_polar.sandbox.pytest_plugin"


def run_python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**unmeasured_environment(), "PYTHONPATH": str(Path.cwd()), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_fixture_gives_every_test_a_running_empty_sandbox(tmp_path: Path) -> None:
    """No import, no setup, nothing left over from the test before, no warning at the end."""
    (tmp_path / "test_user.py").write_text(
        """
import json, urllib.request

def send(sandbox):
    body = json.dumps({"events": [{"name": "n", "external_customer_id": "u"}]}).encode()
    headers = {"authorization": "Bearer polar_oat_x", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(sandbox.url + "/v1/events/ingest", body, headers)) as answer:
        assert answer.status == 200

def test_one(polar_sandbox):
    send(polar_sandbox)
    assert len(polar_sandbox.wait_for_events(1)) == 1

def test_two(polar_sandbox):
    send(polar_sandbox)
    assert len(polar_sandbox.events()) == 1
"""
    )

    result = run_python("-m", "pytest", "-p", PLUGIN, "-W", "error", "-q", folder=tmp_path)

    assert "2 passed" in result.stdout, result.stdout + result.stderr


def test_loading_the_plugin_imports_no_web_server(tmp_path: Path) -> None:
    """Every pytest run of every user loads it, also without the extra."""
    program = (
        f"import sys, {PLUGIN}; "
        "heavy = {'starlette', 'uvicorn', 'polar', 'sqlite3'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    result = run_python("-c", program, folder=tmp_path)

    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_without_the_extra_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    """The error names the extra, not a module deep inside."""
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
    (tmp_path / "test_user.py").write_text("def test_one(polar_sandbox): pass\n")

    result = run_python("-m", "pytest", "-p", PLUGIN, "-q", folder=tmp_path)

    assert "pip install 'otel-polar[serve]'" in result.stdout, result.stdout + result.stderr
