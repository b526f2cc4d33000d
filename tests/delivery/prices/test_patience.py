from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from otel_polar.billing.pricing import Price, PriceQuery, Unpriced
from otel_polar.delivery.prices.patience import MAX_FAILURES, MAX_MODELS, SLOW_S, PatientResolver
from tests.billing.support import tokens
from tests.delivery.support import Clock

ONE = Price(Decimal(1), "mine")


def query(model: str) -> PriceQuery:
    return PriceQuery("openai", None, model, tokens(1), datetime(2026, 11, 20, tzinfo=UTC))


def test_calls_to_a_model_that_fails_do_not_hold_up_the_others() -> None:
    """Model names come from anybody: three bad ones must not stop the billing of all."""

    def picky(asked: PriceQuery) -> Price | None:
        if asked.model == "bad":
            raise KeyError(asked.model)
        return ONE if asked.model == "good" else None

    patient = PatientResolver(picky)
    answers = [patient(query(model)) for model in ("bad", "bad", "bad", "bad", "good", "other") * 20]

    assert answers[4::6] == [ONE] * 20
    assert answers[5::6] == [None] * 20
    assert all(isinstance(answer, Unpriced) for answer in answers[::6])


def test_a_service_that_takes_its_time_to_fail_is_not_asked_about_anything_for_a_while() -> None:
    """Nothing else is delivered meanwhile."""
    clock, asked = Clock(), []

    def slow(each: PriceQuery) -> Price:
        asked.append(each)
        clock.now += SLOW_S
        raise TimeoutError

    patient = PatientResolver(slow, monotonic=clock)
    answers = [patient(query(f"model-{number}")) for number in range(50)]

    assert len(asked) == MAX_FAILURES
    assert all(isinstance(answer, Unpriced) and answer.may_recover for answer in answers)
    assert patient.resume()
    patient(query("model-7"))
    assert len(asked) == MAX_FAILURES + 1
    assert not patient.resume()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), RecursionError(), ValueError("a secret")])
def test_whatever_it_raises_ends_nothing(error: BaseException) -> None:
    """The thread that delivers must live."""

    def broken(_query: PriceQuery) -> Price:
        raise error

    answer = PatientResolver(broken)(query("m"))

    assert isinstance(answer, Unpriced)
    assert type(error).__name__ in answer.reason
    assert "secret" not in answer.reason


def test_an_object_with_attributes_of_any_name_can_be_a_resolver() -> None:
    """Those of ours must not be taken for them."""

    class Doubling:
        _resolver = staticmethod(lambda _query: ONE)
        _slow_failures = 5

        def __call__(self, asked: PriceQuery) -> Price:
            return Price(self._resolver(asked).usd * 2, "twice")

    assert PatientResolver(Doubling())(query("m")) == Price(Decimal(2), "twice")


def test_what_a_function_holds_back_wants_no_entry_on_a_card() -> None:
    """It is asked before the card."""
    assert PatientResolver(lambda _query: Unpriced("contract"))(query("m")) == Unpriced("contract", wants_entry=False)


def test_models_are_remembered_in_bounds() -> None:
    """Their names come from spans."""

    def broken(_query: PriceQuery) -> Price:
        raise ValueError

    patient = PatientResolver(broken)
    for number in range(MAX_MODELS + 10):
        patient(query(f"model-{number}"))

    assert len(patient._by_model) == MAX_MODELS
