"""``otel-polar customers`` as people run it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from otel_polar.polar_api import customers
from tests.account.conftest import api
from tests.cli.command import run_command
from tests.delivery.support import TOKEN

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.sandbox import SandboxServer

__all__ = ["api"]

USAGE = {
    "name": "llm_usage",
    "external_customer_id": "user_42",
    "metadata": {"_cost": {"amount": "250", "currency": "usd"}},
}


def run(polar: SandboxServer, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    env = {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_BASE_URL": polar.url, "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000"}
    return run_command("customers", *arguments, env={**env, **more}, stdin=stdin)


def test_a_customer_is_created_and_then_there(polar_sandbox: SandboxServer) -> None:
    """With the id that is printed, Polar's page of the customer is found."""
    first, second = (run(polar_sandbox, "ensure", "user_42", "--email", "a@example.com") for _ in range(2))

    assert first.stdout.startswith("user_42: created, customer ")
    assert second.stdout == first.stdout.replace("created", "there already")
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")


def test_one_without_an_id_is_linked_and_its_usage_from_before_told(
    polar_sandbox: SandboxServer, api: PolarApi
) -> None:
    """Polar never bills it, and somebody should know."""
    api.post("/v1/customers/", {"email": "A@example.com"})
    api.post("/v1/events/ingest", {"events": [USAGE]})

    result = run(polar_sandbox, "ensure", "user_42", "--email", "a@example.com", "--json")

    told = json.loads(result.stdout)
    assert (told["how"], told["email"]) == ("linked", "A@example.com")
    assert told["earlier_usage"] == {"events": 1, "cost_usd": "2.5", "is_all_counted": True}
    assert "1 event came before the customer: $2.5. Polar never bills" in result.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_who_is_refused_ends_with_1_and_why(
    polar_sandbox: SandboxServer, api: PolarApi, options: tuple[str, ...]
) -> None:
    """An id is never taken from somebody."""
    customers.create(api, "user_41", email="a@example.com")

    taken = run(polar_sandbox, "ensure", "user_42", "--email", "a@example.com", *options)
    nobody = run(polar_sandbox, "ensure", "user_42", *options)

    assert (taken.returncode, nobody.returncode) == (1, 1)
    assert "another external id" in taken.stderr
    assert "without an email" in nobody.stderr
    assert (json.loads(taken.stdout)["how"] if options else taken.stdout) == ("refused" if options else "")


def test_another_email_than_polars_is_said_and_not_changed(polar_sandbox: SandboxServer, api: PolarApi) -> None:
    """Their invoices go there."""
    customers.create(api, "user_42", email="a@example.com")

    result = run(polar_sandbox, "ensure", "user_42", "--email", "b@example.com")

    assert result.returncode == 0
    assert "another email" in result.stderr
    assert customers.find_by_email(api, "b@example.com") is None


@pytest.mark.parametrize(("user", "email"), [("a;b", "a@example.com"), ("user_42", "no email")])
def test_what_cannot_be_an_id_or_an_email_ends_with_3(polar_sandbox: SandboxServer, user: str, email: str) -> None:
    """Before Polar is asked."""
    result = run(polar_sandbox, "ensure", user, "--email", email)

    assert result.returncode == 3
    assert polar_sandbox.requests == []


LIST = """external_id,email,name
user_0,0@example.com,
user_1,1@example.com,Bob
,2@example.com,
user_3,0@Example.com,
"""


def test_a_list_is_done_but_for_its_bad_rows(polar_sandbox: SandboxServer, api: PolarApi) -> None:
    """They are said with their lines, and it ends with 1."""
    customers.create(api, "user_0", email="0@example.com")

    result = run(polar_sandbox, "sync", "-", "--yes", stdin=LIST)

    assert result.returncode == 1
    assert "line 4: " in result.stderr
    assert "line 5 (user_3): a customer with this email has another external id" in result.stderr
    assert [cell.strip() for cell in result.stdout.splitlines()[4].split("│")[1:-1]] == ["1", "0", "1", "1", "1"]
    assert [each.external_id for each in customers.list_customers(api)] == ["user_0", "user_1"]


def test_a_list_from_a_file_as_json_lines_told_to_a_program(
    polar_sandbox: SandboxServer, tmp_path: Path, api: PolarApi
) -> None:
    """All is well: 0. What came before the customers is added up."""
    path = tmp_path / "users.jsonl"
    path.write_text("".join(f'{{"external_id": "user_{n}", "email": "{n}@example.com"}}\n' for n in (42, 43)))
    api.post("/v1/events/ingest", {"events": [USAGE]})

    dry, real, again = (
        run(polar_sandbox, "sync", str(path), option, "--json") for option in ("--dry-run", "--yes", "--yes")
    )

    assert [each.returncode for each in (dry, real, again)] == [0, 0, 0]
    told = [json.loads(each.stdout) for each in (dry, real, again)]
    assert [(each["created"], each["there"], each["dry_run"]) for each in told] == [
        (2, 0, True),
        (2, 0, False),
        (0, 2, False),
    ]
    assert told[1]["earlier_usage"]["cost_usd"] == "2.5"


def test_nobody_is_created_unasked(polar_sandbox: SandboxServer) -> None:
    """A script must say that it means it."""
    result = run(polar_sandbox, "sync", "-", stdin=LIST)

    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert polar_sandbox.requests == []


def test_a_polar_that_fails_in_the_middle_is_told_with_what_was_done(polar_sandbox: SandboxServer) -> None:
    """It ends with 3; run again, it goes on."""
    polar_sandbox.answer_on("/v1/events/", 401, b'{"error": "invalid_token", "detail": "x"}')
    users = "external_id,email\nuser_0,0@example.com\nuser_1,1@example.com\n"
    polar_sandbox.hang_up_on("/v1/customers/", method="POST")

    failed = run(polar_sandbox, "sync", "-", "--yes", "--json", stdin=users)
    again = run(polar_sandbox, "sync", "-", "--yes", "--json", stdin=users)

    assert (failed.returncode, again.returncode) == (3, 0)
    assert json.loads(failed.stdout)["complete"] is False
    assert json.loads(again.stdout)["created"] == 2


@pytest.mark.parametrize("stdin", ["id,email\n1,a@example.com\n", "PK\x03\x04"])
def test_what_is_no_list_ends_with_3(polar_sandbox: SandboxServer, stdin: str) -> None:
    """Nothing of it can be done."""
    result = run(polar_sandbox, "sync", "-", "--yes", stdin=stdin)

    assert result.returncode == 3
    assert "external_id" in result.stderr


def test_a_list_that_is_not_there_is_a_slip_of_the_command_line() -> None:
    """As every file that is named there."""
    assert run_command("customers", "sync", "/none").returncode == 2


def test_the_budget_of_requests_is_kept(polar_sandbox: SandboxServer) -> None:
    """It is the whole organization's, and billing needs it, too."""
    users = "external_id,email\n" + "".join(f"u{n},{n}@example.com\n" for n in range(4))

    result = run(polar_sandbox, "sync", "-", "--yes", stdin=users, OTEL_POLAR_REQUESTS_PER_MINUTE="600")

    assert result.returncode == 0, result.stderr
    assert len(polar_sandbox.requests) == 2 + 2 * 4
