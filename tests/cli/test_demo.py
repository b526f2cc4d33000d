"""``otel-polar demo``, as a user runs it: a real process, offline."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

# Dollars per million tokens (https://platform.openai.com/docs/pricing) are millionths of a dollar per token, and a
# millionth of a dollar is 1 000 nanos.
ALICE_NANOS = (
    207_000  # gpt-4o-mini: 812 * 0.15 + 142 * 0.60 = 121.8 + 85.2 = 207
    + 6_500_000  # gpt-4o: 1 200 * 2.50 + 350 * 10.00 = 3 000 + 3 500 = 6 500
    + 48_000  # text-embedding-3-small: 2 400 * 0.02 = 48
)
BOB_NANOS = (
    38_250  # gpt-4o-mini: 95 * 0.15 + 40 * 0.60 = 14.25 + 24 = 38.25
    + 178_500  # gpt-4o-mini: 310 * 0.15 + 220 * 0.60 = 46.5 + 132 = 178.5
)
CAROL_NANOS = (
    3_280_000  # gpt-4.1-mini: 5 000 * 0.40 + 800 * 1.60 = 2 000 + 1 280 = 3 280
    + 117_000  # text-embedding-3-large: 900 * 0.13 = 117
)

# user, calls, input tokens, output tokens, nanos, dollars
BY_HAND = [
    ("alice", 3, 812 + 1_200 + 2_400, 142 + 350, ALICE_NANOS, "0.006755000"),
    ("bob", 2, 95 + 310, 40 + 220, BOB_NANOS, "0.000216750"),
    ("carol", 2, 5_000 + 900, 800, CAROL_NANOS, "0.003397000"),
]
TOTAL_USD = "0.010368750"  # 0.006755 + 0.00021675 + 0.003397


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty folder, which is also its home, without this machine's settings."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("POLAR_", "OTEL_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "otel_polar", *arguments],
        cwd=folder,
        env={**inherited, "HOME": str(folder), "PYTHONPATH": str(Path.cwd()), "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.slow
def test_every_call_arrives_for_the_right_user_at_the_price_worked_out_by_hand(tmp_path: Path) -> None:
    """One event a call, the client's own tokens, OpenAI's list prices to the last billionth; and nothing on stderr."""
    result = run("demo", "--json", folder=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    report: dict[str, Any] = json.loads(result.stdout)
    assert (report["ok"], report["delivered"]) == (True, True)
    assert report["users"] == [
        {
            "external_customer_id": user,
            "calls": calls,
            "events": calls,
            "client_tokens": input_tokens + output_tokens,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cost_nanos": nanos,
            "cost_usd": usd,
        }
        for user, calls, input_tokens, output_tokens, nanos, usd in BY_HAND
    ]
    assert sum(Decimal(user["cost_usd"]) for user in report["users"]) == Decimal(TOTAL_USD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_table_shows_who_used_what(tmp_path: Path) -> None:
    """It is the first thing most people ever see of this package."""
    result = run("demo", folder=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    rows = [
        [cell.strip() for cell in re.split("[│|]", line) if cell.strip()]
        for line in result.stdout.splitlines()
        if re.search("alice|bob|carol", line)
    ]
    assert rows == [
        [user, str(calls), str(calls), f"{input_tokens:,}", f"{output_tokens:,}", f"${usd}"]
        for user, calls, input_tokens, output_tokens, _nanos, usd in BY_HAND
    ]
    assert f"${TOTAL_USD} in all" in result.stdout
    assert re.search(r"Page: http://127\.0\.0\.1:\d+ ", result.stdout)


@pytest.mark.slow
def test_the_demo_fails_if_an_event_is_missing(tmp_path: Path) -> None:
    """An SDK that is switched off is a working way to lose every event; 0 must mean that all arrived."""
    result = run("demo", "--json", folder=tmp_path, OTEL_SDK_DISABLED="true")

    assert result.returncode == 1
    assert json.loads(result.stdout)["ok"] is False


@pytest.mark.slow
def test_a_taken_port_is_said_with_the_way_out(tmp_path: Path) -> None:
    """A traceback is for those who wrote the code."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("demo", "--port", port, folder=tmp_path)

    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert "--port" in result.stderr


@pytest.mark.slow
def test_a_proxy_in_the_environment_is_not_asked_for_a_loopback_address(tmp_path: Path) -> None:
    """The demo is offline; many a company's machine has a proxy set, and few an exception for loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    result = run("demo", "--json", folder=tmp_path, HTTP_PROXY=proxy, http_proxy=proxy, NO_PROXY="", no_proxy="")

    assert result.returncode == 0
