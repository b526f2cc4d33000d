"""``otel-polar reconcile`` through its real entry point, against the local Polar."""

from __future__ import annotations

import csv
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from otel_polar.billing.trial_event import trial_event
from otel_polar.cli.app import app
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.polar_api import client
from otel_polar.reconciliation.against import Asked, Watch, compare
from otel_polar.reconciliation.ledger import rows_of_directory
from otel_polar.reconciliation.meeting import Meeting
from otel_polar.sandbox import SandboxServer
from otel_polar.settings import Settings
from tests.cli.command import run_command
from tests.delivery.support import TOKEN
from tests.reconciliation.support import (
    HOUR_S,
    YESTERDAY,
    Body,
    a_body,
    a_meter,
    directory_of,
    ingest,
    iso,
    keep,
    send,
    settings_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_polar.reconciliation.ledger import LedgerRow

SINCE = ("--since", "3d")
DIFFERENCES = ("missing_there", "missing_here", "doubled_there", "differing", "unexpected_there")


def reconcile(url: str, outbox_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("reconcile", *SINCE, *arguments, env=settings_of(url, outbox_dir))


def told(url: str, outbox_dir: Path, *arguments: str) -> tuple[int, Any]:
    """The exit code, and what was said as JSON."""
    done = reconcile(url, outbox_dir, "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def differences(report: Any) -> dict[str, int]:
    return {kind: count for kind, count in report["counts"].items() if kind in DIFFERENCES and count}


def without(body: Body, key: str) -> Body:
    return {each: value for each, value in body.items() if each != key}


def with_metadata(body: Body, **changes: Any) -> Body:
    return {**body, "metadata": {**body["metadata"], **changes}}


def test_equal_is_said_and_ends_with_0(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """What cron needs: silence about nothing, and a code."""
    bodies = [a_body(number) for number in range(250)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies)
    ingest(polar_sandbox.url, bodies)

    done = reconcile(polar_sandbox.url, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("Equal: 250 events on Polar, $0.00616875 of cost")


def test_the_test_event_of_doctor_is_no_difference(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It is nobody's call, and in no ledger; whoever reads the counts of Polar is told of it."""
    send(polar_sandbox.url, "/v1/meters/", a_meter("Everything", {"func": "count"}))
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(1)])
    ingest(polar_sandbox.url, [a_body(1), *({**trial_event(n), "timestamp": iso(YESTERDAY)} for n in ("a", "b"))])

    code, report = told(polar_sandbox.url, tmp_path)
    shown = reconcile(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (0, {})
    assert (report["trial_events"], report["there"]["events"]) == (2, 1)
    assert [meter["verdict"] for meter in report["meters"]] == ["explained"], "a meter of any name counts them"
    assert "Equal: 1 event on Polar" in shown.stdout
    assert "2 test events of doctor left aside" in shown.stdout


@pytest.mark.parametrize(
    ("change", "expected", "fields"),
    [
        (lambda there: there[1:], {"missing_there": 1}, ""),
        (lambda there: [*there, without(there[3], "external_id")], {"doubled_there": 1}, ""),
        (lambda there: [*there, a_body(999)], {"missing_here": 1}, ""),
        (lambda there: [with_metadata(there[0], cost_nanos=1), *there[1:]], {"differing": 1}, "cost_nanos"),
        (lambda there: [with_metadata(there[0], input_tokens=1), *there[1:]], {"differing": 1}, "input_tokens"),
        (lambda there: [with_metadata(there[0], requests=True), *there[1:]], {"differing": 1}, "requests"),
        (lambda there: [with_metadata(there[0], charge_nanos=5), *there[1:]], {"differing": 1}, "charge_nanos"),
        (lambda there: [{**there[0], "name": "other"}, *there[1:]], {"differing": 1}, "name"),
        (lambda there: [{**there[0], "external_customer_id": "eve"}, *there[1:]], {"differing": 1}, "customer"),
        (
            lambda there: [{**there[0], "timestamp": iso(YESTERDAY + 600)}, *there[1:]],
            {"differing": 1},
            "timestamp_ms",
        ),
        (
            # Doubled, and the second one changed: one is equal, and one is too many.
            lambda there: [*there, without(with_metadata(there[0], cost_nanos=1), "external_id")],
            {"doubled_there": 1},
            "cost_nanos",
        ),
    ],
)
def test_each_planted_difference_is_found_and_nothing_else(
    polar_sandbox: SandboxServer,
    tmp_path: Path,
    change: Callable[[list[Body]], list[Body]],
    expected: dict[str, int],
    fields: str,
) -> None:
    """A difference that is told as two, or not at all, sends a person looking for the wrong thing."""
    bodies = [a_body(number) for number in range(20)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies)
    ingest(polar_sandbox.url, change(bodies))

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (1, expected)
    (difference,) = report["differences"]
    assert difference["fields"] == fields


@pytest.mark.slow
def test_thousands_of_events_with_one_of_each_difference(tmp_path: Path) -> None:
    """Pages and windows neither lose nor repeat an event, and one in a thousand is seen."""
    bodies = [a_body(number) for number in range(2_000)]
    with SandboxServer(db=tmp_path / "polar.db") as polar:
        keep(directory_of(polar.url, tmp_path), bodies)
        there = [*bodies[:77], *bodies[78:]]
        there[100] = with_metadata(there[100], cost_nanos=7)
        ingest(polar.url, [*there, without(there[1_700], "external_id"), a_body(30_000, at=YESTERDAY + 99)])

        code, report = told(polar.url, tmp_path)

    assert code == 1
    assert differences(report) == dict.fromkeys(DIFFERENCES[:4], 1)
    assert report["counts"]["equal"] == 1_998


def test_a_row_for_each_difference_is_in_the_csv_file(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It is what somebody works through, and names customers: nobody else may read it."""
    bodies = [a_body(number) for number in range(4)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies)
    ingest(polar_sandbox.url, [with_metadata(bodies[0], cost_nanos=1, input_tokens=2), *bodies[2:]])

    done = reconcile(polar_sandbox.url, tmp_path, "--csv", str(tmp_path / "found.csv"))

    assert done.returncode == 1
    with (tmp_path / "found.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["kind"], first["fields"], first["there"]) == ("differing", "input_tokens; cost_nanos", "2; 1")
    assert (second["kind"], second["external_id"]) == ("missing_there", bodies[1]["external_id"])
    assert (tmp_path / "found.csv").stat().st_mode & 0o777 == 0o600


def test_what_a_difference_means_and_what_to_do_is_said_for_each_kind(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """A number alone helps nobody."""
    bodies = [a_body(number) for number in range(3)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies[:2])
    ingest(polar_sandbox.url, [bodies[1], bodies[2]])

    done = reconcile(polar_sandbox.url, tmp_path)

    assert "Missing there: " in done.stderr
    assert "Missing here: " in done.stderr
    assert "otel-polar outbox export -o ledger.jsonl" in done.stderr
    assert "Doubled" not in done.stderr


def test_what_waits_here_is_counted_and_no_difference(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It is not billed yet, and `otel-polar outbox` looks after it."""
    bodies = [a_body(number) for number in range(4)]
    directory = directory_of(polar_sandbox.url, tmp_path)
    keep(directory, bodies[:1])
    keep(directory, bodies[1:3], state=State.READY, name="outbox-2.db")
    ingest(polar_sandbox.url, bodies[:1])

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (0, {})
    assert report["waiting"] == {"ready": 2}


def test_an_event_whose_answer_was_lost_is_equal(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Polar has it, and the ledger is about to try again: that bills nothing twice."""
    bodies = [a_body(1)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies, state=State.READY)
    ingest(polar_sandbox.url, bodies)

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, report["counts"]["equal"]) == (0, 1)


def test_what_was_sent_just_now_need_not_be_listed_yet(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """After an outage old events are sent, and Polar lists them late."""
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(1)], settled_at=YESTERDAY + 26 * HOUR_S)

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (0, {})


def test_what_polar_rejected_and_has_is_a_difference(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Somebody else has sent it; whoever sends the rejected one again should know."""
    bodies = [a_body(1)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies, state=State.REJECTED)
    ingest(polar_sandbox.url, bodies)

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (1, {"unexpected_there": 1})


def test_events_without_a_trace_are_matched_by_their_content(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """``map_metadata`` may send anything; two alike are two, and a third one is one too many."""
    plain = [{**a_body(number, at=YESTERDAY), "metadata": {"units": 3}} for number in range(2)]
    keep(directory_of(polar_sandbox.url, tmp_path), plain)
    alike = [{**body, "external_customer_id": "user_1"} for body in plain]
    keep(directory_of(polar_sandbox.url, tmp_path), alike, name="outbox-0.db")
    ingest(polar_sandbox.url, [*alike, without(alike[0], "external_id")])

    code, report = told(polar_sandbox.url, tmp_path, "--customer", "user_1")

    assert code == 1
    assert (report["counts"]["equal"], differences(report)) == (2, {"doubled_there": 1})


def test_one_customer_is_compared_by_either_id(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Events may name a customer by your id or by Polar's: it is one customer all the same."""
    made = send(polar_sandbox.url, "/v1/customers/", {"email": "a@example.com", "external_id": "user_7"})
    by_external = a_body(7)
    by_id = {**without(a_body(17), "external_customer_id"), "customer_id": made["id"]}
    other = a_body(8)
    keep(directory_of(polar_sandbox.url, tmp_path), [by_external, by_id, other])
    ingest(polar_sandbox.url, [by_external, by_id])

    for name in ("user_7", made["id"]):
        code, report = told(polar_sandbox.url, tmp_path, "--customer", name)
        assert (code, report["counts"]["equal"]) == (0, 2)
        assert [line["customer"] for line in report["customers"]] == ["user_7"]


@pytest.mark.parametrize(("here", "there", "kind"), [(1, 0, "missing_there"), (0, 1, "missing_here")])
def test_a_customer_that_only_one_side_knows_is_compared(
    polar_sandbox: SandboxServer, tmp_path: Path, here: int, there: int, kind: str
) -> None:
    """Nothing on one side is the greatest difference there is."""
    bodies = [a_body(7)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies[:here])
    ingest(polar_sandbox.url, bodies[:there])

    for arguments in ((), ("--customer", "user_7")):
        code, report = told(polar_sandbox.url, tmp_path, *arguments)
        assert (code, differences(report)) == (1, {kind: 1})


def test_a_customer_that_nobody_knows_is_not_equal(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A typing error must not look like proof."""
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(7)])

    done = reconcile(polar_sandbox.url, tmp_path, "--customer", "user_typo")

    assert done.returncode == 3
    assert "nothing was compared" in done.stderr


def test_ledgers_of_other_machines_are_read_from_what_they_export(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Each machine has a ledger of its own, and Polar has the events of all of them."""
    bodies = [a_body(number) for number in range(6)]
    first, second = tmp_path / "web-1", tmp_path / "web-2"
    keep(directory_of(polar_sandbox.url, first), bodies[:3])
    keep(directory_of(polar_sandbox.url, second), bodies[2:])
    ingest(polar_sandbox.url, bodies)
    exported = run_command(
        "outbox", "export", "-o", str(tmp_path / "web-2.jsonl"), env=settings_of(polar_sandbox.url, second)
    )
    assert exported.returncode == 0, exported.stderr

    alone = told(polar_sandbox.url, first)
    only_ours = told(polar_sandbox.url, first, "--only-ours")
    together = told(polar_sandbox.url, first, "--ledger", str(tmp_path / "web-2.jsonl"))

    assert (alone[0], differences(alone[1])) == (1, {"missing_here": 3})
    assert (only_ours[0], only_ours[1]["counts"]["missing_here"]) == (0, 3)
    assert (together[0], together[1]["counts"]["equal"]) == (0, 6)


def test_a_file_that_is_no_exported_ledger_is_refused(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A CSV export has no events in it, and would make all of them missing."""
    (tmp_path / "ledger.csv").write_text("external_id,state\n")

    done = reconcile(polar_sandbox.url, tmp_path, "--ledger", str(tmp_path / "ledger.csv"))

    assert done.returncode == 3
    assert "line 1 is no call as `otel-polar outbox export`" in done.stderr


def test_an_exported_line_that_is_not_ours_is_refused_by_its_number(tmp_path: Path) -> None:
    """Somebody has edited the file; a crash would look like a difference to cron."""
    url, file = "http://127.0.0.1:9", tmp_path / "ledger.jsonl"
    told_ = {"external_id": "a", "state": "sent", "recorded_at": iso(YESTERDAY), "event": {"metadata": [1]}}
    file.write_text(f"{json.dumps(told_)}\n{json.dumps({**told_, 'input_tokens': '7'})}\n")

    done = run_command("reconcile", "--ledger", str(file), env=settings_of(url, tmp_path))

    assert done.returncode == 3
    assert "line 2 is no call" in done.stderr
    assert "input_tokens is not what it has to be" in done.stderr


def meters(report: Any) -> dict[str, str]:
    return {line["name"]: line["verdict"] for line in report["meters"]}


METERS = (
    a_meter("Calls", {"func": "count"}, ("name", "eq", "llm_usage")),
    a_meter("Cost", {"func": "sum", "property": "metadata.cost_nanos"}, ("name", "eq", "llm_usage")),
    a_meter("Cents", {"func": "sum", "property": "_cost.amount"}, ("name", "eq", "llm_usage")),
    a_meter("Large", {"func": "count"}, ("input_tokens", "gte", 120), ("model", "like", "mini")),
    a_meter("Longest", {"func": "max", "property": "input_tokens"}, ("name", "ne", "other")),
    a_meter("Average", {"func": "avg", "property": "input_tokens"}, ("name", "eq", "llm_usage")),
    a_meter("Models", {"func": "unique", "property": "model"}, ("name", "eq", "llm_usage")),
    a_meter("Pattern", {"func": "count"}, ("model", "like", "gpt%mini")),
)


def test_meters_are_compared_with_what_the_ledger_adds_up_to(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Meters are what is billed; one that cannot be repeated here says so."""
    bodies = [a_body(number) for number in range(60)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies)
    ingest(polar_sandbox.url, bodies)
    for meter in METERS:
        send(polar_sandbox.url, "/v1/meters/", meter)

    code, report = told(polar_sandbox.url, tmp_path)

    # Nothing differs; but a meter that bills people was not compared, and 0 would say that all is equal.
    assert (code, report["equal"], report["complete"]) == (3, True, False)
    assert meters(report) == {meter["name"]: "equal" for meter in METERS[:-1]} | {"Pattern": "not_compared"}
    (cost,) = (line for line in report["meters"] if line["name"] == "Cost")
    assert int(cost["here"]) == sum(body["metadata"]["cost_nanos"] for body in bodies)


def test_a_meter_that_differs_as_the_events_do_is_said_to(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It is one difference, not two."""
    bodies = [a_body(number) for number in range(5)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies[:4])
    ingest(polar_sandbox.url, bodies)
    send(polar_sandbox.url, "/v1/meters/", METERS[0])

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report), meters(report)) == (1, {"missing_here": 1}, {"Calls": "explained"})
    assert told(polar_sandbox.url, tmp_path, "--only-ours")[0] == 0


def test_an_event_whose_parent_never_came_is_missing_there_though_meters_count_it(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Polar bills what it does not show."""
    orphan = {**a_body(1), "parent_id": "never-sent"}
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(0), orphan])
    ingest(polar_sandbox.url, [a_body(0), orphan])
    send(polar_sandbox.url, "/v1/meters/", METERS[0])

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report), meters(report)) == (1, {"missing_there": 1}, {"Calls": "equal"})
    assert report["differences"][0]["parent_id"] == "never-sent"


def test_foreign_events_that_polar_does_not_list_are_found_by_the_meter(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """They are billed, and no list has them: only the quantity tells."""
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(0)])
    ingest(polar_sandbox.url, [a_body(0), {**a_body(1), "parent_id": "never-sent"}])
    send(polar_sandbox.url, "/v1/meters/", METERS[0])

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report), meters(report)) == (1, {}, {"Calls": "unexplained"})


@pytest.mark.parametrize(
    ("scopes", "code", "problem"),
    [
        ({"events:read"}, 3, "no meter was compared: the access token lacks the scope meters:read"),
        ({"meters:read"}, 3, "the access token lacks the scope events:read"),
    ],
)
def test_a_token_without_a_scope_is_said_and_never_equal(
    tmp_path: Path, scopes: set[str], code: int, problem: str
) -> None:
    """What was not looked at is not equal."""
    with SandboxServer(tokens={"polar_oat_test": frozenset(scopes)}) as polar:
        keep(directory_of(polar.url, tmp_path), [])

        done = reconcile(polar.url, tmp_path)

    assert done.returncode == code
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--since", "tomorrow"), 2, "is no time"),
        (("--since", "1h", "--until", "2h"), 2, "before it begins"),
        (("--requests-per-minute", "0"), 2, "--requests-per-minute"),
        ((), 3, "there is no"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    """A wrong word is another matter than a directory that is not there."""
    done = run_command("reconcile", *arguments, env=settings_of("http://127.0.0.1:9", tmp_path))

    assert done.returncode == code
    assert problem in done.stderr


def test_a_polar_that_cannot_be_reached_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron has to tell it from a difference. In this process, where nobody waits between two tries."""
    url = "http://127.0.0.1:9"
    keep(directory_of(url, tmp_path), [])
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.0)

    done = CliRunner().invoke(app, ["reconcile", "--since", "1d"], env=settings_of(url, tmp_path))

    assert done.exit_code == 3
    assert "cannot be reached" in done.stderr


def test_amounts_beyond_any_computer_word_are_compared(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Anybody with a token may send such an event; it must not be a crash, which looks like a difference to cron."""
    bodies = [a_body(number, cost_nanos=10**25 + number) for number in range(2)]
    keep(directory_of(polar_sandbox.url, tmp_path), bodies)
    ingest(polar_sandbox.url, bodies)

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, report["there"]["cost_nanos"]) == (0, 2 * 10**25 + 1)


def test_of_two_that_are_alike_the_one_that_was_sent_is_on_polar(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Without a trace nothing tells them apart but what the ledger says of them."""
    body = a_body(1, trace_id=None, span_id=None, generation_id=None)
    directory = directory_of(polar_sandbox.url, tmp_path)
    keep(directory, [{**body, "external_id": "waits"}], state=State.READY, name="outbox-0.db")
    keep(directory, [body])
    ingest(polar_sandbox.url, [body])

    code, report = told(polar_sandbox.url, tmp_path)

    assert (code, differences(report)) == (0, {})


def test_polars_id_of_a_customer_is_the_same_however_it_is_written(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Polar takes it in capitals, and tells it in small letters."""
    customer = send(polar_sandbox.url, "/v1/customers/", {"email": "ada@example.com"})
    body = {**without(a_body(1), "external_customer_id"), "customer_id": customer["id"].upper()}
    keep(directory_of(polar_sandbox.url, tmp_path), [body])
    ingest(polar_sandbox.url, [body])

    assert told(polar_sandbox.url, tmp_path)[0] == 0
    assert told(polar_sandbox.url, tmp_path, "--customer", body["customer_id"])[0] == 0


def test_a_customers_id_that_cannot_stand_in_an_address_is_compared_all_the_same(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """What Polar cannot be asked then is said, and not taken for equal."""
    body = {**a_body(1), "external_customer_id": "team/42"}
    keep(directory_of(polar_sandbox.url, tmp_path), [body])
    ingest(polar_sandbox.url, [body])

    code, report = told(polar_sandbox.url, tmp_path, "--customer", "team/42")

    assert (code, report["counts"]["equal"], report["complete"]) == (3, 1, False)


def test_what_is_released_while_polar_is_read_is_no_difference(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It takes minutes with many events, and the application goes on: a held call is priced, and sent."""
    released, sent = a_body(1), a_body(2)
    directory = directory_of(polar_sandbox.url, tmp_path)
    keep(directory, [released], state=State.UNPRICED)
    ingest(polar_sandbox.url, [released])

    def rows() -> Iterator[LedgerRow]:
        yield from rows_of_directory(OutboxView(directory), 0.0)
        keep(directory, [released, sent], settled_at=time.time(), name="outbox-2.db")

    settings = Settings.load({}, access_token=TOKEN, base_url=polar_sandbox.url)
    asked = Asked(since_unix_ms=0, until_unix_ms=int(YESTERDAY + HOUR_S) * 1_000)
    with Meeting() as meeting, client.PolarApi(settings) as api:
        report = compare(api, meeting, rows, asked, now=time.time(), watch=Watch())
        assert report.is_equal, report.differences


@pytest.mark.parametrize(("arguments", "code"), [(("--customer", ""), 2), (("--since", "0001-01-01"), 0)])
def test_odd_words_are_no_difference(
    polar_sandbox: SandboxServer, tmp_path: Path, arguments: tuple[str, str], code: int
) -> None:
    """A variable that is not set, and a time before there was any."""
    keep(directory_of(polar_sandbox.url, tmp_path), [])

    assert reconcile(polar_sandbox.url, tmp_path, *arguments).returncode == code


def test_events_of_the_last_minutes_are_left_out_and_it_is_said(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Polar lists them late: they would be missing there, and be there a moment later."""
    keep(directory_of(polar_sandbox.url, tmp_path), [a_body(1, at=YESTERDAY + 26 * HOUR_S)])

    done = reconcile(polar_sandbox.url, tmp_path, "--until", "0s", "--json")

    assert done.returncode == 0
    assert "the period ends at" in done.stderr
    assert json.loads(done.stdout)["here"]["events"] == 0


def test_an_outbox_file_that_cannot_be_read_is_never_equal(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """What is in it may be missing on Polar."""
    directory = directory_of(polar_sandbox.url, tmp_path)
    keep(directory, [a_body(1)])
    ingest(polar_sandbox.url, [a_body(1)])
    (directory / "outbox-9.db").write_bytes(b"no database" * 1_000)

    done = reconcile(polar_sandbox.url, tmp_path)

    assert done.returncode == 3
    assert "Equal as far as it was compared" in done.stdout
    assert "outbox-9.db could not be read as a whole" in done.stderr
