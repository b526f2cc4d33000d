from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.pricing import Price, Unpriced
from otel_polar.billing.usage import TokenUsage, Unmetered
from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.deciding.recent import GENERATION_GROUPS, GENERATION_S, MAX_ALIKE, KnownCall, Recent
from otel_polar.delivery.deciding.window import MAX_CONTEXT, PORTION
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.record import dump_call
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.notices import Notices
from tests.delivery.support import NOON, START_UNIX_NANO, a_call, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.billing.call import ModelCall

CLIENT = "opentelemetry.instrumentation.genai.openai"
FRAMEWORK = "openinference.instrumentation.langchain"
STRONG_ID = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
MS = 1_000_000


def one_nano(_: ModelCall) -> Price | Unpriced:
    return Price(Decimal("1e-9"), "test")


@dataclass
class Desk:
    """An outbox with its intake, and what became of its calls."""

    outbox: Outbox
    resolver: Any = one_nano
    notices: Notices = field(default_factory=Notices)
    counts: Counter[str] = field(default_factory=Counter)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The next process with this outbox."""
        self.intake = Intake(
            self.outbox,
            settings=settings(**self.options),
            price=self.price,
            notices=self.notices,
            counts=self.counts,
        )

    def price(self, call: ModelCall) -> Any:
        return self.resolver(call)

    def record(self, *calls: ModelCall, now: float = NOON) -> None:
        for call in calls:
            self.outbox.record(dump_call(call), now)

    def decide(self, *, now: float = NOON, settle_s: float = 0.0) -> float | None:
        return self.intake.decide(settle_s=settle_s, clock=lambda: now)

    def states(self) -> dict[str, State]:
        return {row.external_id: row.state for row in self.outbox.ledger()}

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(row.body) for row in self.outbox.ledger() if row.body is not None]


@pytest.fixture
def desk(tmp_path: Any) -> Iterator[Desk]:
    outbox = Outbox(tmp_path / "outbox-1.db")
    yield Desk(outbox)
    outbox.close()


def inner(number: int = 0, **changes: Any) -> ModelCall:
    """A call as the client library's instrumentation tells it."""
    return a_call(number, **{"scope_name": CLIENT, **changes})


def outer(number: int = 0, **changes: Any) -> ModelCall:
    """The same call as a framework tells it, in another trace: begun before it, ended after it."""
    call = a_call(number, scope_name=FRAMEWORK)
    return call._replace(
        **{
            "trace_id": f"{number + 1_000_001:032x}",
            "span_id": f"{number + 1_000_001:016x}",
            "start_time_unix_nano": call.start_time_unix_nano - MS,
            "end_time_unix_nano": call.end_time_unix_nano + MS,
            **changes,
        },
    )


DAMAGES = [
    "UPDATE events SET state = 'x'",
    "UPDATE events SET recorded_at = 'x'",
    "UPDATE events SET call = 'x'",
]


def test_a_call_seen_by_two_layers_is_one_event(desk: Desk) -> None:
    """Peers bill it twice."""
    desk.record(inner(), outer())

    desk.decide()

    assert desk.states() == {external_id(inner()): State.READY, external_id(outer()): State.DUPLICATE}
    assert [body["metadata"]["input_tokens"] for body in desk.bodies()] == [100]
    assert desk.counts["duplicate"] == 1


def test_a_later_span_withdraws_a_call_that_rests(desk: Desk) -> None:
    """In a service the inner span may come in a later request than the outer one, and knows more."""
    detailed = inner(usage=TokenUsage(60, 10, cache_read_tokens=40))
    desk.record(outer(), now=NOON)

    assert desk.decide(now=NOON + 1.9, settle_s=2.0) == pytest.approx(0.1)
    desk.record(detailed, now=NOON + 1.9)
    desk.decide(now=NOON + 2.0, settle_s=2.0)

    (body,) = desk.bodies()
    assert body["external_id"] == external_id(inner())
    assert body["metadata"]["cache_read_tokens"] == 40
    assert desk.outbox.waiting() == 1


def test_a_call_that_is_recorded_right_after_the_clock_is_read_rests_like_any_other(desk: Desk) -> None:
    """Taken for one from the future it would be decided at once, and its other span could not withdraw it."""

    def clock() -> float:
        desk.record(outer(), now=NOON + 0.1)
        return NOON

    desk.intake.decide(settle_s=2.0, clock=clock)

    assert desk.states() == {}


def test_a_span_that_comes_after_the_decision_changes_nothing_of_it(desk: Desk) -> None:
    """What may be at Polar already is not billed again under another id."""
    desk.record(outer())
    desk.decide()
    (before,) = desk.bodies()
    desk.record(inner(), now=NOON + 60)

    desk.decide(now=NOON + 60)

    assert desk.bodies() == [before]
    assert desk.states() == {external_id(outer()): State.READY, external_id(inner()): State.DUPLICATE}


def test_a_late_span_is_recognised_by_the_next_process_too(desk: Desk) -> None:
    """A restart between two deliveries of one trace must not bill it twice."""
    desk.record(inner())
    desk.decide()
    desk.outbox.settle([1], now=NOON)
    desk.restart()
    desk.record(outer(), now=NOON + 5)

    desk.decide(now=NOON + 5)

    assert desk.states() == {external_id(inner()): State.SENT, external_id(outer()): State.DUPLICATE}


def test_a_duplicate_that_is_delivered_again_alone_is_known_by_its_own_id(desk: Desk) -> None:
    """Long after what else was known of the call is forgotten."""
    desk.record(inner(), outer())
    desk.decide()
    desk.outbox.settle([1], now=NOON)
    desk.intake.forget_calls(now=NOON + 86_400, limit=10)
    desk.restart()
    desk.record(outer(), now=NOON + 86_400)

    desk.decide(now=NOON + 86_400)

    assert sorted(desk.states().values()) == [State.DUPLICATE, State.SENT]
    assert desk.counts["duplicate"] == 2


def test_a_held_call_is_released_by_another_span_that_knows_who_pays(desk: Desk) -> None:
    """Litellm writes its span in a thread where the baggage is gone; the client's span has it."""
    desk.record(outer(customer=NOBODY))
    desk.decide()
    assert desk.states() == {external_id(outer()): State.UNATTRIBUTED}
    desk.record(inner(), now=NOON + 5)

    desk.decide(now=NOON + 5)

    assert desk.states() == {external_id(outer()): State.DUPLICATE, external_id(inner()): State.READY}
    assert [body["external_customer_id"] for body in desk.bodies()] == ["user_42"]


def test_half_a_count_is_completed_by_the_other_span_of_the_same_answer(desk: Desk) -> None:
    """A stream that was closed early: Anthropic's own span has no output, an instrumentation's has."""
    half = Unmetered("no count of output tokens", TokenUsage(21, 0, 2_000, 200, cache_write_1h_tokens=100))
    whole = TokenUsage(21, 3, 2_000, 300)
    desk.record(inner(response_id=STRONG_ID, usage=half))
    desk.decide()
    assert list(desk.states().values()) == [State.UNMETERED]
    desk.record(outer(response_id=STRONG_ID, usage=whole), now=NOON + 5)

    desk.decide(now=NOON + 5)

    ((key, state),) = desk.states().items()
    assert (key, state) == (f"openai:{STRONG_ID}", State.READY)
    assert desk.bodies()[0]["metadata"]["output_tokens"] == 3


def test_two_spans_of_one_call_that_name_two_customers_bill_nobody(desk: Desk) -> None:
    """The right customer pays, or nobody does until a person decides."""
    other = Customer(external_customer_id="user_43")
    desk.record(inner(response_id=STRONG_ID), outer(response_id=STRONG_ID, customer=other))

    desk.decide()

    assert desk.states() == {f"openai:{STRONG_ID}": State.UNATTRIBUTED}


def test_calls_of_two_processes_are_never_one_within_the_other(desk: Desk) -> None:
    """After a crash their calls lie in one file, and two clocks or two users may look alike."""
    desk.record(inner(process="a"), outer(process="b"))

    desk.decide()

    assert list(desk.states().values()) == [State.READY, State.READY]


def test_two_spans_further_apart_than_a_portion_are_still_one_call(desk: Desk) -> None:
    """A flood between them must not hide that."""
    desk.record(inner())
    desk.record(*(inner(number) for number in range(1, PORTION)))
    desk.record(outer())

    while desk.decide() == 0.0:
        pass

    assert Counter(desk.states().values()) == {State.READY: PORTION, State.DUPLICATE: 1}


def test_a_backlog_is_decided_portion_by_portion(desk: Desk) -> None:
    """Each with what was recorded behind it."""
    desk.record(*(inner(number) for number in range(PORTION + 2)))

    desk.decide(now=NOON + 60)

    assert desk.outbox.counts() == {State.READY: PORTION, State.RECORDED: 2}


def test_a_span_that_lay_on_disk_for_long_is_known_at_the_next_start(desk: Desk) -> None:
    """The process died right after it was recorded, and what it belongs to had been sent."""
    desk.record(inner(response_id=STRONG_ID))
    desk.decide()
    desk.outbox.settle([1], now=NOON)
    desk.record(outer(), now=NOON + 1)
    desk.restart()

    desk.decide(now=NOON + 7_200)

    assert Counter(desk.states().values()) == {State.SENT: 1, State.DUPLICATE: 1}


def test_rows_that_are_carried_over_from_another_outbox_are_known(desk: Desk, tmp_path: Any) -> None:
    """A live process adopts the file of one that died with half of a call sent."""
    desk.decide()
    desk.record(inner(9))
    desk.decide()
    orphan = Desk(Outbox(tmp_path / "outbox-2.db"))
    orphan.record(inner(response_id=STRONG_ID))
    orphan.decide()
    orphan.outbox.settle([1], now=NOON)
    orphan.record(outer(), now=NOON + 1)
    copy_outbox(orphan.outbox, desk.outbox)
    orphan.outbox.close()

    desk.decide(now=NOON + 60)

    assert Counter(desk.states().values()) == {State.READY: 1, State.SENT: 1, State.DUPLICATE: 1}


def test_a_call_is_known_once_however_often_rows_are_carried_over(desk: Desk) -> None:
    """What becomes of it later must be known of it everywhere."""
    desk.record(inner(customer=NOBODY))
    desk.decide()
    desk.outbox.arrivals += 1
    desk.record(inner(1))
    desk.decide()

    recent = desk.intake._recalling._recent
    assert recent is not None
    assert len(recent.related([outer()._replace(trace_id=inner().trace_id, parent_span_id=inner().span_id)])) == 2
    assert len([known for known in recent.related([inner()]) if known.is_held]) == 1


def test_a_call_whose_spans_come_one_by_one_is_one_call(desk: Desk) -> None:
    """What was held becomes a duplicate of what could be sent, and the next span knows that."""
    gateway = outer(scope_name="litellm", response_id="chatcmpl-Zt4NvK8qWm1XcE6yHb2JrL7gPsD9f")
    desk.record(inner(customer=NOBODY, scope_name="openinference.instrumentation.anthropic"))
    desk.decide()
    native = inner(scope_name="com.anthropic.sdk.python", span_id="e" * 16, response_id="msg_01XFDUDYJgAACzvnptvVoYEL")
    desk.record(native._replace(start_time_unix_nano=native.start_time_unix_nano + 1), now=NOON + 5)
    desk.decide(now=NOON + 5)
    desk.record(gateway, now=NOON + 10)
    desk.decide(now=NOON + 10)

    assert Counter(desk.states().values()) == {State.READY: 1, State.DUPLICATE: 2}


def test_a_redelivery_with_another_span_is_known_by_the_ledger(desk: Desk) -> None:
    """Days later, when memory has nothing: one span was sent alone, and comes again with one that has a strong id."""
    desk.record(outer())
    desk.decide()
    desk.outbox.settle([1], now=NOON)
    desk.outbox.forget_calls(before=NOON + 86_400, now=NOON + 86_400, limit=10)
    desk.restart()
    desk.record(outer(), inner(response_id=STRONG_ID), now=NOON + 86_400)

    desk.decide(now=NOON + 86_400)

    assert Counter(desk.states().values()) == {State.SENT: 1, State.DUPLICATE: 1}


def test_a_held_call_that_turns_out_to_name_two_customers_is_held_for_that(desk: Desk) -> None:
    """Else the first of the two would pay as soon as a price is known."""
    desk.resolver = lambda _: Unpriced("no such model")
    desk.record(inner(response_id=STRONG_ID))
    desk.decide()
    desk.record(outer(response_id=STRONG_ID, customer=Customer(external_customer_id="user_43")), now=NOON + 5)
    desk.decide(now=NOON + 5)
    assert list(desk.states().values()) == [State.UNATTRIBUTED]

    desk.resolver = one_nano
    desk.outbox.reconsider(limit=10)
    desk.decide(now=NOON + 10)

    assert list(desk.states().values()) == [State.UNATTRIBUTED]


def test_a_held_call_keeps_the_best_that_any_span_knows(desk: Desk) -> None:
    """Cached tokens cost a fraction, and the event goes out when a price is known."""
    desk.resolver = lambda _: Unpriced("no such model")
    desk.record(outer(response_id=STRONG_ID))
    desk.decide()
    desk.record(inner(response_id=STRONG_ID, usage=TokenUsage(10, 10, cache_read_tokens=90)), now=NOON + 5)
    desk.decide(now=NOON + 5)
    desk.resolver = one_nano
    desk.outbox.reconsider(limit=10)
    desk.restart()
    desk.decide(now=NOON + 10)

    (body,) = desk.bodies()
    assert body["metadata"]["cache_read_tokens"] == 90


def test_a_call_is_dropped_as_a_whole_or_not_at_all(tmp_path: Any) -> None:
    """A span that names nobody may be the better half of a call that is billed."""
    desk = Desk(Outbox(tmp_path / "outbox-1.db"), options={"on_unattributed": "drop"})
    better = inner(customer=NOBODY, usage=TokenUsage(10, 10, cache_read_tokens=90))
    desk.record(outer(), better, inner(7, customer=NOBODY))

    desk.decide()

    (body,) = desk.bodies()
    assert body["metadata"]["cache_read_tokens"] == 90
    assert desk.counts["dropped: unattributed"] == 1
    assert desk.outbox.waiting() == 1
    desk.outbox.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_of_the_ledger_stops_nothing(desk: Desk, damage: str) -> None:
    """What can be read goes on."""
    desk.record(inner())
    desk.decide()
    with desk.outbox.database.transaction() as transaction:
        transaction.run(damage)
    desk.restart()
    desk.record(inner(1), now=NOON + 5)

    desk.decide(now=NOON + 5)

    assert len(desk.bodies()) == 2
    assert desk.outbox.recorded(limit=10) == []
    desk.outbox.purge(before=NOON + 86_400, after_seq=0, limit=10)


def test_a_damaged_row_does_not_stop_the_rest(desk: Desk) -> None:
    """Neither one that is no call, nor one whose parts are of other types."""
    desk.outbox.record("not a call", NOON)
    desk.outbox.record(dump_call(inner()).replace('"process":""', '"process":[]'), NOON)
    desk.record(inner(1))

    desk.decide()

    assert Counter(desk.states().values()) == {State.UNBUILDABLE: 2, State.READY: 1}


def test_two_scopes_that_bill_one_provider_are_said_once_with_the_switch(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Where their spans cannot be told to be one, only a person can prevent the second bill."""
    native = "com.anthropic.sdk.python"
    for number in range(3):
        desk.record(inner(number, scope_name=native, provider="anthropic"))
        desk.record(outer(number, provider="anthropic", start_time_unix_nano=START_UNIX_NANO + 10 * MS))

    with caplog.at_level(logging.WARNING, "otel_polar"):
        desk.decide()

    (message,) = [record.getMessage() for record in caplog.records]
    assert f"{native} and {FRAMEWORK}" in message
    assert "ANTHROPIC_OPEN_TELEMETRY=false" in message
    assert f"OTEL_POLAR_BILL_SCOPES={native}" in message


def test_embeddings_and_chats_of_two_scopes_are_nothing_to_warn_about(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """opentelemetry-instrumentation-openai-v2 itself writes chats under another scope than embeddings."""
    desk.record(inner(), inner(1, scope_name="other", operation="embeddings"))

    with caplog.at_level(logging.WARNING, "otel_polar"):
        desk.decide()

    assert caplog.records == []


def known(call: ModelCall) -> KnownCall:
    return KnownCall(external_id(call), is_held=False, calls=[call])


def test_a_decided_call_is_remembered_for_minutes_and_then_forgotten() -> None:
    """Exporters retry for minutes; what comes later is known by its own id only."""
    recent = Recent(NOON)
    call = known(inner())
    recent.remember(call, NOON)

    recent.remember(known(inner(1)), NOON + GENERATION_S)
    assert call in recent.related([outer()])
    recent.remember(known(inner(2)), NOON + 2 * GENERATION_S)
    assert call not in recent.related([outer()])


def test_memory_is_bounded_under_a_flood_of_calls() -> None:
    """However many traces there are, and however alike."""
    recent = Recent(NOON)
    for number in range(3 * GENERATION_GROUPS):
        recent.remember(known(inner(number, parent_span_id=f"{number:016x}")), NOON)

    sizes = [
        len(index)
        for generation in (recent._young, recent._old)
        for index in vars(generation.relatives).values()
        if isinstance(index, dict)
    ]
    assert max(sizes) <= GENERATION_GROUPS
    assert len(recent.related([outer()])) <= 2 * MAX_ALIKE


def test_a_flood_of_calls_that_look_alike_is_decided_in_time(desk: Desk) -> None:
    """The work for each is bounded, whatever their number: three scopes, one moment, equal tokens."""
    for number in range(MAX_CONTEXT // 4):
        desk.record(inner(number), outer(number), inner(number, scope_name="x", span_id=f"{number + 5_000_001:016x}"))

    while desk.decide() == 0.0:
        pass

    assert desk.outbox.counts()[State.READY] >= MAX_CONTEXT // 4


def test_a_call_that_has_gone_on_in_an_outbox_that_was_carried_over_is_not_decided_again(
    desk: Desk, tmp_path: Path
) -> None:
    """It is remembered as held; a late span with a better id would make a second event of it."""
    desk.resolver = lambda _: Unpriced("no price")
    desk.record(inner(1))
    desk.decide()
    source = Desk(Outbox(tmp_path / "outbox-2.db"))
    source.record(inner(1))
    source.decide()

    copy_outbox(source.outbox, desk.outbox)
    source.outbox.close()
    desk.resolver = one_nano
    desk.record(outer(1, response_id=STRONG_ID))
    desk.decide()

    assert sorted(desk.states().values()) == [State.DUPLICATE, State.READY]
