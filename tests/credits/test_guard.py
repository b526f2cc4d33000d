"""Specifies what a guard lets through, and what it knows of a customer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar import ConfigError, InsufficientCredits
from otel_polar.credits import CreditGuard
from tests.credits.support import (
    CALL_TOKENS,
    METER,
    USER,
    a_customer_with,
    an_application,
    give_credits,
    guarding,
    make_calls,
    make_customer,
    make_meter,
    settings,
    use_elsewhere,
)
from tests.sandbox.support import post
from tests.servers.child import HOST, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.credits import Decision
    from otel_polar.sandbox import SandboxServer


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        import time  # noqa: PLC0415 - only here

        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def test_a_call_is_covered_until_its_customers_credits_are_reserved(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """A call that is being made has used what it will use; when it ends, that is free again or recorded."""
    a_customer_with(polar_sandbox, 1_000)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        with guard.require(USER, 600):
            with pytest.raises(InsufficientCredits) as refused:
                guard.require(USER, 401)
            with guard.require(USER, 400):
                assert guard.balance(USER).available == 0

        left = guard.balance(USER)

    assert [refused.value.reason, refused.value.available, refused.value.estimate] == ["insufficient", 400, 401]
    assert USER not in str(refused.value)
    assert [left.credited, left.consumed, left.pending, left.reserved] == [1_000, 0, 0, 0]
    assert [left.available, left.is_known, left.is_stale] == [1_000, True, False]


def test_what_is_recorded_ready_or_sent_and_not_counted_is_pending(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Polar counts hours late; a customer must not use credits twice in the meantime."""
    a_customer_with(polar_sandbox, 10_000)
    polar_sandbox.freeze_customer_states()
    with (
        an_application(polar_sandbox.url, tmp_path) as processor,
        guarding(polar_sandbox.url, tmp_path) as guard,
    ):
        make_calls(processor, 2)
        recorded = guard.balance(USER)
        processor.force_flush()
        sent = guard.balance(USER)
        make_calls(processor, 1)
        both = guard.balance(USER)

    assert len(polar_sandbox.events()) == 2
    assert [one.pending for one in (recorded, sent, both)] == [2 * CALL_TOKENS, 2 * CALL_TOKENS, 3 * CALL_TOKENS]
    assert both.available == 10_000 - 3 * CALL_TOKENS


def test_what_polar_has_counted_is_not_pending_any_more(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Else a customer would pay twice in credits, and be refused what they have bought."""
    a_customer_with(polar_sandbox, 10_000)
    polar_sandbox.freeze_customer_states()
    with (
        an_application(polar_sandbox.url, tmp_path) as processor,
        guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as guard,
    ):
        make_calls(processor, 2)
        processor.force_flush()
        uncounted = guard.balance(USER)
        polar_sandbox.thaw_customer_states()
        counted = guard.balance(USER)

    assert [uncounted.consumed, uncounted.pending] == [0, 2 * CALL_TOKENS]
    assert [counted.consumed, counted.pending] == [2 * CALL_TOKENS, 0]
    assert uncounted.available == counted.available == 10_000 - 2 * CALL_TOKENS


def test_a_guard_that_comes_later_knows_what_was_sent_before(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A restart must not hand out again what Polar has not counted."""
    a_customer_with(polar_sandbox, 10_000)
    polar_sandbox.freeze_customer_states()
    with an_application(polar_sandbox.url, tmp_path) as processor:
        make_calls(processor, 3)
        processor.force_flush()
    with guarding(polar_sandbox.url, tmp_path) as guard:
        left = guard.balance(USER)

    assert [left.consumed, left.pending, left.available] == [0, 3 * CALL_TOKENS, 10_000 - 3 * CALL_TOKENS]


def test_what_other_machines_send_counts_before_polar_has_counted_it(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """The state lags by hours, but a quantity is exact at once."""
    a_customer_with(polar_sandbox, 1_000)
    use_elsewhere(polar_sandbox, 100)
    with guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as guard:
        before = guard.balance(USER)
        polar_sandbox.freeze_customer_states()
        use_elsewhere(polar_sandbox, 250)
        after = guard.balance(USER)
        polar_sandbox.thaw_customer_states()
        counted = guard.balance(USER)

    assert [one.available for one in (before, after, counted)] == [900, 650, 650]
    assert [one.pending for one in (before, after, counted)] == [0, 250, 0]


def test_as_many_parallel_calls_pass_as_the_credit_allows(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Thirty-two at once, and credit for ten."""
    a_customer_with(polar_sandbox, 1_000)
    passed: list[Any] = []
    refused: list[InsufficientCredits] = []
    start = threading.Barrier(32)
    with guarding(polar_sandbox.url, tmp_path, when_unreachable="refuse") as guard:

        def call() -> None:
            start.wait()
            try:
                passed.append(guard.require(USER, 100))
            except InsufficientCredits as error:
                refused.append(error)

        threads = [threading.Thread(target=call) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(passed) == 10
    assert {error.reason for error in refused} == {"insufficient"}


def test_shadow_mode_reports_and_lets_through(
    polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever introduces limits sees first what they would do."""
    a_customer_with(polar_sandbox, 100)
    decisions: list[Decision] = []
    with guarding(polar_sandbox.url, tmp_path, mode="shadow", on_decision=decisions.append) as guard:
        for _ in range(3):
            with guard.require(USER, 101):
                pass

        assert guard.counts == {"insufficient": 3, "let through": 3}
    assert [(one.customer, one.verdict, one.is_allowed) for one in decisions] == [(USER, "insufficient", True)] * 3
    (line,) = [line for line in caplog.messages if "shadow" in line]
    assert USER not in line


@pytest.mark.parametrize("told", ["allow", "refuse"])
def test_a_polar_that_cannot_be_reached_is_as_told_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    """Either may be right, and only the one whose money it is can say it."""
    with guarding(f"http://{HOST}:{free_port()}", tmp_path, when_unreachable=told) as guard:
        refused: list[str] = []
        for _ in range(3):
            try:
                guard.require(USER, 1).release()
            except InsufficientCredits as error:
                refused.append(error.reason)

        assert refused == (["unreachable"] * 3 if told == "refuse" else [])
        assert guard.counts["unreachable"] == 3
        assert not guard.balance(USER).is_known

    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_a_balance_is_used_while_polar_is_away_but_not_for_ever(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Minutes of an outage refuse nobody and give nothing away; after that it is as told."""
    a_customer_with(polar_sandbox, 100)
    clock = Clock()
    with guarding(polar_sandbox.url, tmp_path, when_unreachable="refuse", clock=clock, max_stale_s=300.0) as guard:
        guard.require(USER, 1).release()
        polar_sandbox.hang_up_on("/v1/*", times=None)
        clock.now += 200
        with guard.require(USER, 60) as reservation:
            assert reservation.decision.balance is not None
            assert reservation.decision.balance.is_stale
            with pytest.raises(InsufficientCredits, match="do not cover"):
                guard.require(USER, 60)
        clock.now += 200
        with pytest.raises(InsufficientCredits, match="nobody can tell"):
            guard.require(USER, 1)


def test_no_log_line_says_whose_credits_they_were(
    polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs go to places that nobody guards, and the address of a request has the id in it."""
    a_customer_with(polar_sandbox, 100)
    with guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as guard:
        guard.require(USER, 1).release()
        polar_sandbox.answer_on("/v1/customers/*", 500, b"", times=None)
        for _ in range(3):
            guard.require(USER, 1).release()

    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "GET /v1/customers/…" in line
    assert USER not in line


def test_a_rate_limit_is_respected_by_all(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Asking on would keep the organization's events out, too."""
    a_customer_with(polar_sandbox, 100)
    polar_sandbox.answer_on("/v1/customers/*", 429, b"", {"retry-after": "60"}, times=1)
    before = len(polar_sandbox.requests)
    with (
        guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as guard,
        guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as other,
    ):
        for each in (guard, guard, other):
            each.require(USER, 1).release()

    # The meter, and the one that was refused; the other guard did not even ask for the meter.
    assert len(polar_sandbox.requests) - before == 2


def test_polar_is_never_asked_more_often_than_the_budget_says(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The events need the organization's requests."""
    meter_id = make_meter(polar_sandbox)
    for number in range(8):
        make_customer(polar_sandbox, f"customer_{number}")
        give_credits(polar_sandbox, meter_id, 100, f"customer_{number}")
    before = len(polar_sandbox.requests)
    # Two processes share the file, and so the budget.
    with (
        guarding(polar_sandbox.url, tmp_path, requests_per_minute=7) as guard,
        guarding(polar_sandbox.url, tmp_path, requests_per_minute=7) as other,
    ):
        for number in range(8):
            (guard if number % 2 else other).require(f"customer_{number}", 1)
        counts = guard.counts + other.counts

    assert len(polar_sandbox.requests) - before == 6
    # Two for the meter, and two for each of two customers.
    assert counts["covered"] == 2
    assert counts["unreachable"] == 6


@pytest.mark.parametrize("customers", [[USER], []])
def test_a_customer_without_credits_is_as_told(
    polar_sandbox: SandboxServer, tmp_path: Path, customers: list[str]
) -> None:
    """Usage of an unknown customer is never billed later; the message says what makes one."""
    make_meter(polar_sandbox)
    for customer in customers:
        make_customer(polar_sandbox, customer)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        with pytest.raises(InsufficientCredits, match="otel-polar customers ensure") as refused:
            guard.require(USER, 1)
        assert refused.value.reason == "unknown"
        assert not guard.balance(USER).is_known
    with guarding(polar_sandbox.url, tmp_path, when_unknown="allow") as guard, guard.require(USER, 1) as allowed:
        assert allowed.decision.verdict == "unknown"


def test_credits_that_are_bought_count_before_the_balance_is_old(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Nobody who has just paid is refused for half a minute."""
    meter_id = make_meter(polar_sandbox)
    make_customer(polar_sandbox)
    give_credits(polar_sandbox, meter_id, 10)
    clock = Clock()
    with guarding(polar_sandbox.url, tmp_path, clock=clock) as guard:
        with pytest.raises(InsufficientCredits):
            guard.require(USER, 50)
        give_credits(polar_sandbox, meter_id, 100)
        clock.now += 11
        guard.require(USER, 50).release()


def test_asynchronous_calls_reserve_without_blocking_the_loop(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A look at Polar takes as long as Polar takes."""
    a_customer_with(polar_sandbox, 100)
    polar_sandbox.delay_on("/v1/customers/*", 0.3, times=1)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def calls() -> None:
        ticking = asyncio.ensure_future(tick())
        with guarding(polar_sandbox.url, tmp_path) as guard:
            async with guard.arequire(USER, 60):
                assert ticks > 5
                with pytest.raises(InsufficientCredits):
                    async with guard.arequire(USER, 60):
                        pass
            assert guard.balance(USER).available == 100
        ticking.cancel()

    asyncio.run(calls())


def test_a_cancelled_task_leaves_no_reservation(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Users close their browsers; their credit must not be held for a quarter of an hour."""
    a_customer_with(polar_sandbox, 100)
    polar_sandbox.delay_on("/v1/customers/*", 0.3, times=1)

    async def calls(guard: CreditGuard) -> None:
        async def call() -> None:
            async with guard.arequire(USER, 60):
                await asyncio.sleep(60)

        task = asyncio.ensure_future(call())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with guarding(polar_sandbox.url, tmp_path) as guard:
        asyncio.run(asyncio.wait_for(calls(guard), 10.0))
        deadline = time.monotonic() + 10.0
        while (not guard.counts["covered"] or guard.balance(USER).reserved) and time.monotonic() < deadline:
            # The thread that made it gives it back.
            threading.Event().wait(0.01)

        assert guard.counts["covered"] == 1
        assert guard.balance(USER).reserved == 0


def test_a_polar_that_hangs_leaves_the_loops_threads_to_the_application(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """A loop looks up its hosts in them: everything else would stand still with the credits."""
    a_customer_with(polar_sandbox, 100)
    polar_sandbox.delay_on("/v1/*", 0.5)

    async def calls(guard: CreditGuard) -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

        async def call() -> None:
            async with guard.arequire(USER, 1):
                pass

        waiting = [asyncio.ensure_future(call()) for _ in range(3)]
        await asyncio.sleep(0.05)
        begun_at = time.monotonic()
        await asyncio.to_thread(int)
        took_s = time.monotonic() - begun_at
        await asyncio.gather(*waiting)
        return took_s

    with guarding(polar_sandbox.url, tmp_path) as guard:
        assert asyncio.run(calls(guard)) < 0.4


@pytest.mark.parametrize("estimate", [-1, 0.5, "many", None, True, Decimal("NaN")])
def test_an_estimate_that_is_none_is_a_mistake(tmp_path: Path, estimate: Any) -> None:
    """It must not become a reservation of nothing."""
    with guarding(f"http://{HOST}:{free_port()}", tmp_path) as guard, pytest.raises(ConfigError, match="estimate"):
        guard.require(USER, estimate)


@pytest.mark.parametrize("customer", ["", None, 5.5, "x" * 201, " user", "us\ud800er"])
def test_a_customer_that_is_none_is_a_mistake(tmp_path: Path, customer: Any) -> None:
    """An id that got lost on the way is no customer without credits."""
    with guarding(f"http://{HOST}:{free_port()}", tmp_path) as guard, pytest.raises(ConfigError, match="customer"):
        guard.require(customer, 1)
    with guarding(f"http://{HOST}:{free_port()}", tmp_path) as guard, pytest.raises(ConfigError, match="customer"):
        guard.balance(customer)


def test_a_meter_that_is_none_says_which_there_are(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A guard that lets everything through because of a typing mistake is worse than none."""
    make_meter(polar_sandbox, name="LLM cost")
    guard = CreditGuard("LLM cots", settings=settings(polar_sandbox.url, tmp_path))

    before = len(polar_sandbox.requests)
    for _ in range(20):
        with pytest.raises(ConfigError, match=r"no meter is named 'LLM cots'.*There are 'LLM cost'"):
            guard.require(USER, 1)
    guard.close()

    assert len(polar_sandbox.requests) - before == 1


def test_a_meter_that_does_not_add_up_cannot_be_guarded(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Nobody can reserve a part of an average."""
    aggregation = {"func": "avg", "property": "total_tokens"}
    every = {"conjunction": "and", "clauses": []}
    post(polar_sandbox, "/v1/meters/", name=METER, filter=every, aggregation=aggregation)
    with guarding(polar_sandbox.url, tmp_path) as guard, pytest.raises(ConfigError, match="sums or counts"):
        guard.require(USER, 1)


def test_what_on_decision_raises_has_no_effect(
    polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A metric that fails must not fail the call it counts."""
    a_customer_with(polar_sandbox, 100)

    def fail(_: Decision) -> None:
        raise RuntimeError(USER)

    with guarding(polar_sandbox.url, tmp_path, on_decision=fail) as guard, guard.require(USER, 1):
        pass

    assert any("on_decision raised RuntimeError" in line for line in caplog.messages)


def test_a_fault_of_ours_is_as_told(
    polar_sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The application is about to make a call, and has nothing to do with our mistakes."""
    a_customer_with(polar_sandbox, 100)
    with guarding(polar_sandbox.url, tmp_path) as guard:
        monkeypatch.setattr("otel_polar.credits.outboxes.Outboxes.look", lambda *_: 1 / 0)
        with guard.require(USER, 1) as allowed:
            assert allowed.decision.verdict == "unreachable"
        assert not guard.balance(USER).is_known

    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "credits have a fault: ZeroDivisionError" in line


def test_a_token_that_may_not_read_meters_quantities_is_said_and_goes_on(
    polar_sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Less is known then, and somebody has to be told."""
    a_customer_with(polar_sandbox, 1_000)
    body = b'{"error": "insufficient_scope", "error_description": "..."}'
    polar_sandbox.answer_on(
        "/v1/meters/*/quantities", 403, body, {"www-authenticate": 'Bearer scope="meters:read"'}, times=None
    )
    with guarding(polar_sandbox.url, tmp_path, max_age_s=0.0) as guard:
        use_elsewhere(polar_sandbox, 100)
        assert guard.balance(USER).available == 900
        assert guard.balance(USER).available == 900

    assert len([line for line in caplog.messages if "lacks the scope meters:read" in line]) == 1


def test_a_cost_is_estimated_by_the_prices_that_bill_it(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """$0.15 and $0.60 per million tokens: 1 000 in and 500 out are $0.00045, which are 450 000 nanos."""
    make_meter(polar_sandbox, "cost_nanos")
    with guarding(polar_sandbox.url, tmp_path) as guard:
        assert guard.estimate_cost("openai/gpt-4o-mini", 1_000, 500) == 450_000
        assert guard.estimate_cost("gpt-4o-mini", 1_000, 500, provider="openai") == 450_000
        with pytest.raises(ConfigError, match="cannot be estimated"):
            guard.estimate_cost("openai/no-such-model", 1, 1)


def test_a_guard_by_the_meters_id_and_one_by_its_name_share_what_is_reserved(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Two services of one machine may write it differently."""
    meter_id = make_meter(polar_sandbox)
    make_customer(polar_sandbox)
    give_credits(polar_sandbox, meter_id, 100)
    with guarding(polar_sandbox.url, tmp_path) as guard, guard.require(USER, 60):
        other = CreditGuard(meter_id, settings=settings(polar_sandbox.url, tmp_path))
        with pytest.raises(InsufficientCredits):
            other.require(USER, 60)
        other.close()


def test_an_id_that_has_to_be_searched_for_costs_what_it_costs(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Polar has no path for an id with a slash: that is a request more, of the same budget."""
    meter_id = make_meter(polar_sandbox)
    for name in ("a/1", "a/2", "a/3"):
        assert post(polar_sandbox, "/v1/customers/", email=f"{name[2]}@example.com", external_id=name).status == 201
        give_credits(polar_sandbox, meter_id, 100, name)
    before = len(polar_sandbox.requests)
    with guarding(polar_sandbox.url, tmp_path, requests_per_minute=6) as guard:
        for name in ("a/1", "a/2", "a/3"):
            guard.balance(name)

    assert len(polar_sandbox.requests) - before <= 6


def test_a_clock_set_back_a_little_does_not_make_polar_unreachable(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """What is refused is refused, and not let through because the time is odd."""
    a_customer_with(polar_sandbox, 100)
    clock = Clock()
    with guarding(polar_sandbox.url, tmp_path, clock=clock) as guard:
        guard.balance(USER)
        clock.now -= 2.0
        with pytest.raises(InsufficientCredits):
            guard.require(USER, 101)
