"""Specifies that every example does what its docstring promises, against local servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from polar.v2026_10 import Polar as PolarApi

from otel_polar.sandbox.openai_api import OpenAIServer
from tests.cli.command import run_command
from tests.delivery.price_lists import serving
from tests.delivery.wire import Polar, Wire
from tests.reconciliation.support import a_body, directory_of, ingest, keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.sandbox import SandboxServer

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a user would export, for local servers."""
    with OpenAIServer() as endpoint:
        yield {
            **os.environ,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": endpoint.base_url,
            # Otherwise a warning says that this is not OpenAI's own host.
            "OTEL_POLAR_GATEWAYS": "127.0.0.1",
            "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox"),
            "POLAR_ACCESS_TOKEN": "polar_oat_test",
            "POLAR_BASE_URL": polar_sandbox.url,
            "SESSION_SECRET": "a secret of the service",
        }


def test_the_quickstart_bills_its_user(polar_sandbox: SandboxServer, environment: dict[str, str]) -> None:
    """It is what people copy."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "quickstart.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    (event,) = polar_sandbox.events()
    assert (event["external_customer_id"], event["metadata"]["plan"]) == ("user_42", "pro")
    assert event["metadata"]["total_tokens"] == 5 + 12
    assert len(done.stdout.split()) == 12
    assert done.stderr == ""


def run_example(name: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_check_up_finds_what_is_missing_and_then_nothing(
    polar_sandbox: SandboxServer, environment: dict[str, str]
) -> None:
    """The customer and the meters are those that the other examples make."""
    command = [sys.executable, str(EXAMPLES / "doctor.py")]

    before = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    run_command("setup", str(EXAMPLES / "setup.toml"), "--yes", env=environment)
    run_example("sign_up.py", environment)
    after = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert (before.returncode, after.returncode) == (1, 0), before.stderr + after.stdout
    assert "Polar has no customer with the external id 'user_42'" in before.stdout
    assert "no meter counts events named 'llm_usage'" in before.stdout
    assert "Polar has a customer with the external id 'user_42'" in after.stdout
    assert polar_sandbox.events() == []


def test_what_set_up_makes_meters_the_quickstart(polar_sandbox: SandboxServer, environment: dict[str, str]) -> None:
    """The meters and the customer are those that its event needs."""
    done = run_command("setup", str(EXAMPLES / "setup.toml"), "--yes", "--json", env=environment)
    meters = {item["name"]: item["id"] for item in json.loads(done.stdout)["items"] if item["kind"] == "meter"}
    user, created, customer_id = run_example("sign_up.py", environment).split()
    assert (user, created) == ("user_42", "created")
    assert run_example("sign_up.py", environment) == f"user_42 there already {customer_id}\n"

    run_example("quickstart.py", environment)

    with PolarApi("polar_oat_test", base_url=polar_sandbox.url) as polar:
        totals = {
            name: polar.meters.quantities(
                meter,
                start_timestamp=(datetime.now(UTC) - timedelta(days=1)).isoformat(),
                end_timestamp=datetime.now(UTC).isoformat(),
                interval="day",
                customer_id=customer_id,
            ).total
            for name, meter in meters.items()
        }
    (event,) = polar_sandbox.events()
    cost_nanos, tokens = event["metadata"]["cost_nanos"], event["metadata"]["total_tokens"]
    assert totals == {"AI usage": cost_nanos, "Tokens": tokens, "AI usage, small model": cost_nanos}


def test_a_sign_up_goes_through_though_polar_is_down(environment: dict[str, str]) -> None:
    """Nobody is turned away for it."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "sign_up.py"],
        env={**environment, "POLAR_BASE_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr.startswith("no customer yet: ")


def test_reconciling_says_what_differs_and_ends_as_cron_needs_it(
    polar_sandbox: SandboxServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """Whoever bills by usage wants to know the next morning."""
    bodies = [a_body(number) for number in range(3)]
    keep(directory_of(polar_sandbox.url, tmp_path / "outbox"), bodies)
    endings = []
    for number in (1, 2):
        ingest(polar_sandbox.url, bodies[number : number + 2])
        done = subprocess.run(
            [sys.executable, EXAMPLES / "reconcile.py"],
            env={**environment, "RECONCILE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        endings.append((done.returncode, done.stdout))
        ingest(polar_sandbox.url, bodies)

    assert endings == [
        (1, "2 events equal, 0.00006345 USD; 1 missing_there\n"),
        (0, "3 events equal, 0.00006345 USD; nothing differs\n"),
    ], done.stderr
    assert (tmp_path / "differences.csv").read_text().count("\n") == 1


def test_of_two_parallel_calls_only_one_is_covered(environment: dict[str, str]) -> None:
    """Credit for one and a half calls is credit for one: 5 tokens in and 12 out cost 750 and 7 200 nanos."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "credits.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    *calls, left = done.stdout.splitlines()
    assert sorted(calls) == ["answered", "refused: insufficient"]
    assert left == "left: 9992050 of 10000000 of which not counted yet: 7950"


@pytest.mark.parametrize(
    ("status", "content", "cost_nanos", "source"),
    [
        (200, b'{"input": "1", "output": "10"}', 5 * 1_000 + 12 * 10_000, "price service"),
        (404, b"", 5 * 150 + 12 * 600, "genai-prices"),
    ],
)
def test_prices_come_from_the_service_or_if_it_knows_none_from_the_list(
    polar_sandbox: SandboxServer,
    environment: dict[str, str],
    status: int,
    content: bytes,
    cost_nanos: int,
    source: str,
) -> None:
    """What ai-billing's resolver for Narev does, with a cache and off the application's threads."""
    with serving(content) as service:
        service.status = status
        done = subprocess.run(
            [sys.executable, EXAMPLES / "remote_prices.py"],
            env={**environment, "PRICE_SERVICE_URL": service.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    (event,) = polar_sandbox.events()
    assert event["metadata"]["cost_nanos"] == cost_nanos
    assert event["metadata"]["price_source"].startswith(source)
    assert (service.requests, done.stderr) == (1, "")


@contextmanager
def lambda_runtime(environment: dict[str, str]) -> Iterator[Callable[[int], dict[str, Any]]]:
    """A sandbox of AWS Lambda, thrown away in the end; invoke it with how long the function may take (milliseconds)."""
    command = [sys.executable, "-m", "tests.lambda_runtime"]
    with subprocess.Popen(
        command, env=environment, cwd=EXAMPLES.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def invoke(timeout_ms: int) -> dict[str, Any]:
            requests.write(f"{timeout_ms}\n")
            requests.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        try:
            yield invoke
        finally:
            process.kill()


def test_the_lambda_function_has_sent_its_call_when_it_answers(
    polar_sandbox: SandboxServer, environment: dict[str, str]
) -> None:
    """After that its sandbox is frozen, or thrown away."""
    with lambda_runtime(environment) as invoke:
        answer = invoke(60_000)

    (event,) = polar_sandbox.events()
    assert answer["statusCode"] == 200
    assert len(answer["body"].split()) == 12
    assert (event["external_customer_id"], event["metadata"]["request_id"]) == ("user_42", "request-0")


def test_the_lambda_function_answers_in_time_while_polar_hangs_and_its_sandbox_sends_later(
    polar_sandbox: SandboxServer, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Its own timeout would turn an answer that was made and paid for into an error, and into another call."""
    with (
        Wire(polar_sandbox.url, Polar.HANGS) as wire,
        lambda_runtime({**environment, "POLAR_BASE_URL": wire.url}) as invoke,
    ):
        late = invoke(3_000)
        assert (late["statusCode"], polar_sandbox.events()) == (200, [])
        # It stops half a second before; if it went on for as long as it may when there is time, 2 s would be overdrawn.
        assert late["left_ms"] > -1_500
        said = capfd.readouterr().err
        assert "1 calls wait on disk" in said
        assert "lost if this sandbox is not used again" in said
        wire.let_answer()
        invoke(60_000)

    requests = [event["metadata"]["request_id"] for event in polar_sandbox.events()]
    assert sorted(requests) == ["request-0", "request-1"]


def test_the_web_service_bills_the_user_of_the_session(
    polar_sandbox: SandboxServer,
    environment: dict[str, str],
) -> None:
    """Two users, plain and streamed, and a forged header that changes nothing."""
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "0", "--app-dir", str(EXAMPLES)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://[0-9.:]+", line)))
            for user in ("alice", "bob"):
                visit(address, user)
        finally:
            server.terminate()
            server.communicate(timeout=30)

    events = polar_sandbox.wait_for_events(4)
    assert sorted((e["external_customer_id"], e["metadata"]["endpoint"]) for e in events) == [
        ("alice", "chat"),
        ("alice", "stream"),
        ("bob", "chat"),
        ("bob", "stream"),
    ]
    assert {e["metadata"]["total_tokens"] for e in events} == {2 + 12}


def visit(address: str, user: str) -> None:
    """Log in and ask, as the docstring's curl lines do; with a baggage header that names somebody else."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.addheaders = [("baggage", "userId=victim,customerId=victim")]

    def post(path: str, **form: str) -> bytes:
        with opener.open(f"{address}{path}", data=urlencode(form).encode(), timeout=30) as answer:
            content: bytes = answer.read()
            return content

    assert json.loads(post(f"/login/{user}")) == {"user_id": user}
    assert len(json.loads(post("/chat", question="Who pays?"))["answer"].split()) == 12
    assert len(post("/stream", question="Who pays?").split()) == 12


def test_a_recording_that_is_replayed_twice_is_billed_once() -> None:
    """The page shows it: the second run sends nothing."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "replay.py"], capture_output=True, text=True, timeout=60, check=True
    )

    assert "3 calls to be billed, cost $0.000621" in done.stdout
    assert "3 calls sent" in done.stdout
    assert "replayed already" in done.stdout
    assert done.stdout.endswith("Polar has 3 events\n")


def test_calls_that_nobody_paid_for_are_billed_when_a_person_says_to_whom() -> None:
    """While the application that made them runs."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "look_and_repair.py"], capture_output=True, text=True, timeout=60, check=True
    )

    assert "held: unattributed" in done.stdout
    assert done.stdout.endswith("Polar has 2 events of {'alice'}\n")
