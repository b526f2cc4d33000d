"""Specifies the plain numbers behind the metrics."""

from __future__ import annotations

import threading
from collections import Counter

from otel_polar.delivery.disk.rows import Decided, State
from otel_polar.delivery.metrics.tally import MAX_MODELS, Tally, items_of
from otel_polar.delivery.outcome import Accepted
from tests.delivery.support import a_call, a_recorded


def held(key: str = "call-1", state: State = State.UNPRICED, reason: str = "no price of 'a' is known") -> Decided:
    return Decided(a_recorded(), key, state, reason=reason)


def test_every_end_of_a_call_is_counted_by_its_reason() -> None:
    """What came in and what was decided are counted in two places, and told as one."""
    counts = Counter(
        {
            "recorded": 9,
            "duplicate": 1,
            "dropped: unattributed": 2,
            "forgotten unsent": 3,
            "lost": 4,
            "failed": 5,
            "identity refused": 6,
            "not billed: no gen_ai.operation.name": 7,
        }
    )
    tally = Tally(counts)
    tally.decided([held(), Decided(a_recorded(), "call-2", State.READY, body="{}")], {})
    tally.accepted(Accepted(inserted=2, duplicates=1))
    tally.refused({0: "timestamp: wrong", 1: "metadata.alice: wrong"})

    assert tally.ends() == {
        ("sent", None): 2,
        ("sent", "Polar had it already"): 1,
        ("rejected", "timestamp"): 1,
        ("rejected", "metadata"): 1,
        ("held: unpriced", "unknown model"): 1,
        ("duplicate", None): 1,
        ("dropped", "unattributed"): 2,
        ("forgotten", None): 3,
        ("lost", "neither disk nor memory"): 4,
        ("lost", "could not be looked at"): 5,
        ("not billed", "no gen_ai.operation.name"): 7,
    }
    assert (tally.recorded, tally.lost, tally.failed) == (5, 4, 5)


def test_the_number_of_calls_that_were_kept_never_falls() -> None:
    """A system of metrics takes that for a new beginning, and counts all of them once more."""
    counts = Counter({"recorded": 10})
    tally = Tally(counts)
    assert tally.recorded == 10

    counts["lost"] += 1
    assert tally.recorded == 10
    counts["recorded"] += 1
    assert tally.recorded == 10


def test_a_held_call_counts_again_only_under_another_state() -> None:
    """One without a price whose event cannot be built when it has one is two things that a person has to mend."""
    tally = Tally()
    for state in (State.UNPRICED, State.UNPRICED, State.UNBUILDABLE, State.UNPRICED):
        tally.decided([held(state=state)], {"call-1": a_call()})

    assert tally.ends() == {("held: unpriced", "unknown model"): 1, ("held: unbuildable", "other"): 1}
    assert sum(tally.unpriced().values()) == 2


def test_models_beyond_a_number_are_counted_together() -> None:
    """Their names come from spans: a caller who makes them up must not fill the memory, nor a system of metrics."""
    tally = Tally()
    for number in range(MAX_MODELS + 5):
        call = a_call(request_model=f"m{number}", response_model=None)
        tally.decided([held(f"call-{number}")], {f"call-{number}": call})

    assert len(tally.unpriced()) == MAX_MODELS + 1
    assert tally.unpriced()["other", "other"] == 5


def test_reading_does_not_mind_that_another_thread_adds_to_it() -> None:
    """A dictionary that changes its size while it is read raises."""
    counts: Counter[str] = Counter()
    finished = threading.Event()

    def add() -> None:
        for number in range(50_000):
            counts[str(number)] += 1
        finished.set()

    thread = threading.Thread(target=add)
    thread.start()
    sizes = [len(items_of(counts))]
    while not finished.is_set():
        sizes.append(len(items_of(counts)))
    thread.join()

    assert sizes == sorted(sizes)
    assert len(items_of(counts)) == 50_000
