"""Specifies that the suite would notice: every kind of harm, done to the evidence of a storm that did none."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.child import CONTENT, CUSTOMER, TOKEN
from tests.chaos.polar import NO_SUCH_CUSTOMER, NO_SUCH_TAG
from tests.chaos.receipts import Call, Receipts
from tests.chaos.verdict import Evidence, Row, problems

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = Call("s0l0.0.0", f"{CUSTOMER}1", 1_000, 400, 50)
CUT_SHORT = Call("s0l0.0.1", f"{CUSTOMER}1", 10, 0, 5)
SCHEMA = Call("s0l0.1.0", f"{CUSTOMER}2", 20, 0, 5, "schema")
SEMANTIC = Call("s0l0.1.1", f"{CUSTOMER}2", 20, 0, 5, "semantic")


def an_event(call: Call) -> dict[str, Any]:
    """What Polar has to have of a call."""
    return {
        "external_id": f"id of {call.key}",
        "external_customer_id": call.customer,
        "metadata": {
            "call": call.key,
            "input_tokens": call.input_tokens,
            "cache_read_tokens": call.cached_tokens,
            "output_tokens": call.output_tokens,
            "cost_nanos": call.cost_nanos,
            "_cost": {"amount": f"{call.cost_nanos / 10_000_000:.12f}", "currency": "usd"},
            "_llm": {
                "input_tokens": call.input_tokens,
                "cached_input_tokens": call.cached_tokens,
                "output_tokens": call.output_tokens,
            },
        },
    }


def a_rejected(call: Call, reason: str) -> Row:
    return Row(f"id of {call.key}", "rejected", reason, f'{{"metadata": {{"call": "{call.key}"}}}}')


@pytest.fixture
def evidence() -> Evidence:
    """A storm without harm: one call is billed, one was cut short by the death of its process, two were rejected."""
    calls = {call.key: call for call in (GOOD, CUT_SHORT, SCHEMA, SEMANTIC)}
    event = an_event(GOOD)
    return Evidence(
        Receipts(calls, ended={GOOD.key, SCHEMA.key, SEMANTIC.key}),
        ledger={event["external_id"]: event},
        rows=[
            Row(event["external_id"], "sent", None, "{}"),
            a_rejected(SCHEMA, f"metadata.poison.str: {NO_SUCH_TAG}"),
            a_rejected(SEMANTIC, f"customer_id: {NO_SUCH_CUSTOMER}"),
        ],
        files=["options.json", "outbox-0123abcd.db", "outbox-0123abcd.db.lock"],
        logs={"s0l0": "WARNING:otel_polar:2 calls wait on disk\n"},
    )


def event_of(evidence: Evidence) -> dict[str, Any]:
    return evidence.ledger[f"id of {GOOD.key}"]


def lose(evidence: Evidence) -> None:
    evidence.ledger = {}
    evidence.rows = evidence.rows[1:]


def double(evidence: Evidence) -> None:
    event = {**event_of(evidence), "external_id": "another"}
    evidence.ledger = {**evidence.ledger, "another": event}
    evidence.rows.append(Row("another", "sent", None, "{}"))


def invent(evidence: Evidence) -> None:
    double(evidence)
    evidence.ledger["another"]["metadata"] = {**event_of(evidence)["metadata"], "call": "s0l0.0.9"}


def bill_another(evidence: Evidence) -> None:
    event_of(evidence)["external_customer_id"] = f"{CUSTOMER}3"


def bill_one_nano_more(evidence: Evidence) -> None:
    event_of(evidence)["metadata"]["cost_nanos"] += 1


def bill_a_bit_more(evidence: Evidence) -> None:
    event_of(evidence)["metadata"]["_cost"]["amount"] = "0.015000000001"


def count_another_token(evidence: Evidence) -> None:
    event_of(evidence)["metadata"]["output_tokens"] += 1


def rewrite(evidence: Evidence) -> None:
    evidence.rewritten.append(f"id of {GOOD.key}")


def reject_what_is_good(evidence: Evidence) -> None:
    lose(evidence)
    evidence.rows.append(a_rejected(GOOD, "HTTP status 500"))


def take_what_is_poisoned(evidence: Evidence) -> None:
    event = an_event(SCHEMA)
    evidence.ledger = {**evidence.ledger, event["external_id"]: event}
    evidence.rows.append(Row(event["external_id"], "sent", None, "{}"))


def forget_what_is_poisoned(evidence: Evidence) -> None:
    evidence.rows = evidence.rows[:-1]


def blame_something_else(evidence: Evidence) -> None:
    evidence.rows[1].reason = "too large"


def say_it_was_sent(evidence: Evidence) -> None:
    evidence.rows.append(Row("another", "sent", None, "{}"))


def say_it_was_not(evidence: Evidence) -> None:
    evidence.rows[0].state = "ready"


def hold(evidence: Evidence) -> None:
    evidence.rows.append(Row("another", "held: unpriced", None, None))


def leave_undecided(evidence: Evidence) -> None:
    evidence.unread = 1


def leave_another_outbox(evidence: Evidence) -> None:
    evidence.files += ["outbox-4567abcd.db"]


def leave_a_damaged_outbox(evidence: Evidence) -> None:
    evidence.files += ["damaged-0a-outbox-4567abcd.db"]


def leave_a_lock(evidence: Evidence) -> None:
    evidence.files += ["outbox-4567abcd.db.lock"]


def name_a_customer(evidence: Evidence) -> None:
    evidence.logs["s0l0"] += f"ERROR:otel_polar:Polar refuses {CUSTOMER}1\n"


def name_the_token(evidence: Evidence) -> None:
    evidence.logs["s0l0"] += f"ERROR:otel_polar:Polar refuses {TOKEN}\n"


def show_a_traceback(evidence: Evidence) -> None:
    place = '  File "/somewhere/otel_polar/delivery/step.py", line 1, in step\n    boom\n'
    evidence.logs["s0l0"] += f"Traceback (most recent call last):\n{place}ValueError: boom\n"


def keep_content(evidence: Evidence) -> None:
    evidence.readable = CONTENT.encode()


def send_content(evidence: Evidence) -> None:
    event_of(evidence)["metadata"]["prompt"] = CONTENT


HARM = (
    *(lose, double, invent, bill_another, bill_one_nano_more, bill_a_bit_more, count_another_token, rewrite),
    *(reject_what_is_good, take_what_is_poisoned, forget_what_is_poisoned, blame_something_else, say_it_was_sent),
    *(say_it_was_not, hold, leave_undecided, leave_another_outbox, leave_a_damaged_outbox, leave_a_lock),
    *(name_a_customer, name_the_token, show_a_traceback, keep_content, send_content),
)


def test_a_storm_without_harm_is_found_to_be_one(evidence: Evidence) -> None:
    """What was cut short may be in Polar or not: its ``on_end`` had not returned."""
    without = copy.deepcopy(evidence)
    event = an_event(CUT_SHORT)
    evidence.ledger = {**evidence.ledger, event["external_id"]: event}
    evidence.rows.append(Row(event["external_id"], "sent", None, "{}"))

    assert problems(without) == []
    assert problems(evidence) == []


@pytest.mark.parametrize("do", HARM, ids=lambda do: do.__name__)
def test_harm_is_noticed(evidence: Evidence, do: Callable[[Evidence], None]) -> None:
    """A verdict that never finds anything is worth nothing."""
    do(evidence)

    assert problems(evidence) != []


def test_a_call_left_open_by_a_process_that_ended_well_is_a_fault_of_the_storm(evidence: Evidence) -> None:
    """Only death excuses it; else what was lost would pass for what was cut short."""
    evidence.receipts.finished.add("s0l0")

    assert problems(evidence) != []
