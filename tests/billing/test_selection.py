"""Specifies which spans are one call: every double-billing hazard that was seen, each in any order and any request.

The hazards are those of real pairs of instrumentations; ``tests/billing/test_corpus.py`` holds the rule against their
recorded spans.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.selection import MAX_CANDIDATES, select
from otel_polar.billing.usage import Unmetered
from tests.billing.support import model_call, tokens

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

MS = 1_000_000
BEGIN = 1_790_855_999_000_000_000
CLIENT = "opentelemetry.instrumentation.genai.openai"
OI_CLIENT = "openinference.instrumentation.openai"
FRAMEWORK = "openinference.instrumentation.langchain"
AGENTS = "agent_framework"
GATEWAY = "litellm"
NATIVE = "com.anthropic.sdk.python"
TL_ANTHROPIC = "opentelemetry.instrumentation.anthropic"
AGNO = "opentelemetry.instrumentation.agno"
STRONG = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
OTHER_STRONG = "chatcmpl-Zt4NvK8qWm1XcE6yHb2JrL7gPsD9f"
FLASH = {"provider": "gcp.gemini", "response_model": "gemini-2.5-flash"}


def call(name: str, scope: str, begin_ms: float, end_ms: float, **fields: Any) -> ModelCall:
    """A span of a call, with an id of its own and in a trace of its own unless *fields* say otherwise."""
    return model_call(
        **{
            "trace_id": name.encode().hex().ljust(32, "0")[:32],
            "span_id": name.encode().hex().ljust(16, "0")[:16],
            "scope_name": scope,
            "start_time_unix_nano": BEGIN + int(begin_ms * MS),
            "end_time_unix_nano": BEGIN + int(end_ms * MS),
            "usage": tokens(1_457, 120),
            **fields,
        },
    )


def in_trace(*calls: ModelCall) -> list[ModelCall]:
    """The same calls in one trace."""
    return [each._replace(trace_id="7" * 32) for each in calls]


def below(parent: ModelCall, child: ModelCall) -> ModelCall:
    return child._replace(trace_id=parent.trace_id, parent_span_id=parent.span_id)


def chain(*scopes: str) -> list[ModelCall]:
    """Spans of one trace, each the parent of the next."""
    calls = in_trace(*(call(f"c{depth}", scope, depth, 100 - depth) for depth, scope in enumerate(scopes)))
    return [calls[0], *(below(parent, child) for parent, child in pairwise(calls))]


@dataclass(frozen=True)
class Hazard:
    """Spans, and how many calls they tell of."""

    spans: list[ModelCall]
    calls: int
    reason: str


_outer = call("outer", FRAMEWORK, 0, 100)
_inner = call("inner", CLIENT, 1, 99)
_strong = call("strong", CLIENT, 1, 99, response_id=STRONG)
_wrapper = call("wrapper", OI_CLIENT, 0, 100)
_chat = call("chat", AGENTS, 10, 50)
_proxy = call("proxy", GATEWAY, 5, 95, process="proxy", response_model="gpt-4o", response_id=STRONG)

ONE_CALL = {
    "a framework and the client library, in two traces": Hazard(
        [_outer, _inner], 1, "OpenInference langchain + openai"
    ),
    "a framework and the client library, siblings": Hazard(
        in_trace(_outer, _inner), 1, "Traceloop langchain in a chain"
    ),
    "a framework and the client library, parent and child": Hazard(
        [_outer, below(_outer, _inner)], 1, "official <= 1.2"
    ),
    "a framework, a gateway and the client library": Hazard(
        [call("lc", FRAMEWORK, 0, 100), call("ll", GATEWAY, 1, 99), call("oa", CLIENT, 2, 98)],
        1,
        "LangChain on litellm",
    ),
    "two instrumentations of one library": Hazard([_wrapper, _inner], 1, "OpenInference knows no response id"),
    "the library's own spans beside an instrumentation": Hazard(
        [call("tl", TL_ANTHROPIC, 0, 100, provider="anthropic"), call("own", NATIVE, 1, 99, provider="anthropic")],
        1,
        "on by default since anthropic 1.14",
    ),
    "one answer told by two services": Hazard(
        [call("client", CLIENT, 0, 100, response_model="my-alias", response_id=STRONG), _proxy],
        1,
        "litellm's proxy and an instrumented client: the id is all they share",
    ),
    "one answer fetched again an hour later": Hazard(
        [
            call("made", CLIENT, 0, 100, response_id=STRONG),
            call("got", "x", 3_600_000, 3_600_100, response_id=STRONG),
        ],
        1,
        "polling, by an emitter whose word for it is not known",
    ),
    "one span delivered twice": Hazard([_inner, _inner], 1, "two exporters, or a Collector that retries"),
    "a wrapper put around itself": Hazard(
        [call("w1", CLIENT, 0, 100), below(call("w1", CLIENT, 0, 100), call("w2", CLIENT, 1, 99))],
        1,
        "instrument() called twice",
    ),
    "a request that fell back to another model": Hazard(
        [
            call("request", GATEWAY, 0, 100, request_model="big", response_model=None),
            below(call("request", GATEWAY, 0, 100), call("fallback", GATEWAY, 40, 99)),
        ],
        1,
        "litellm's fallbacks: the outer span names the model that failed",
    ),
    "an id minted by a gateway for somebody else's answer": Hazard(
        [
            call("ll", GATEWAY, 0, 100, provider="anthropic", response_id=STRONG),
            call("own", NATIVE, 1, 99, provider="anthropic", response_id="msg_01XFDUDYJgAACzvnptvVoYEL"),
        ],
        1,
        "litellm writes chatcmpl-… for Anthropic, too",
    ),
    "output with and without reasoning": Hazard(
        [
            call("lc", FRAMEWORK, 0, 100, **FLASH, usage=tokens(500, 30)),
            call(
                "g", "opentelemetry.instrumentation.google_genai", 1, 99, **FLASH, usage=tokens(500, 100, reasoning=70)
            ),
        ],
        1,
        "langchain-google leaves thoughts out",
    ),
    "a framework that was told no tokens": Hazard(
        in_trace(call("lc", FRAMEWORK, 0, 100, usage=Unmetered("no token counts")), _inner),
        1,
        "a stream: the client asked",
    ),
    "a framework that waits for its turn": Hazard(
        in_trace(call("lc", FRAMEWORK, 0, 1_000), call("c", CLIENT, 300, 999)), 1, "a rate limiter"
    ),
    "a client's stream that ends after the framework's": Hazard(
        [call("lc", FRAMEWORK, 0, 100), call("c", CLIENT, 1, 100.5)], 1, "the framework has seen the last chunk"
    ),
    "an id minted by a framework": Hazard(
        [
            call("lc", FRAMEWORK, 0, 100, response_id="lc_run--019a1b2c-3d4e-7f60-8a1b-2c3d4e5f6071"),
            call("c", CLIENT, 1, 99, response_id="tP7daMqGJ5K2xN8PqOrT0A1"),
        ],
        1,
        "LangChain, where the provider has none",
    ),
    "a stream of which a log has the tokens": Hazard(
        [call("f", FRAMEWORK, 0, 3_000), call("log", "logfire.openai", 2_999, 2_999)], 1, "a log has no duration"
    ),
}

SEVERAL_CALLS = {
    "two calls of one client at once": Hazard([call("a", CLIENT, 0, 100), call("b", CLIENT, 1, 99)], 2, "same scope"),
    "two answers with equal tokens": Hazard(
        [
            call("a", FRAMEWORK, 0, 100, response_id=STRONG),
            call("b", CLIENT, 1, 99, response_id=OTHER_STRONG),
        ],
        2,
        "two strong ids are two answers",
    ),
    "two answers, of which one has an id without digit or pattern": Hazard(
        [_outer._replace(response_id="chatcmpl-qPbdfajzcmquiyoxtfcvmzrofAXTw"), below(_outer, _strong)],
        2,
        "too weak to make two spans one call, but not to tell two calls apart",
    ),
    "two users at once": Hazard(
        [
            call("a", FRAMEWORK, 0, 100, customer=Customer(external_customer_id="ann")),
            call("b", CLIENT, 1, 99, customer=Customer(external_customer_id="bob")),
        ],
        2,
        "whoever waits longest must not pay for all",
    ),
    "another model": Hazard(
        [call("a", FRAMEWORK, 0, 100), call("b", CLIENT, 1, 99, response_model="gpt-4o")], 2, "equal tokens by chance"
    ),
    "another kind of request": Hazard(
        [call("a", FRAMEWORK, 0, 100), call("b", CLIENT, 1, 99, operation="embeddings")], 2, "equal tokens by chance"
    ),
    "another number of tokens": Hazard(
        [call("a", FRAMEWORK, 0, 100), call("b", CLIENT, 1, 99, usage=tokens(1_457, 121))],
        2,
        "a tool's call in a chain",
    ),
    "another process": Hazard([call("a", FRAMEWORK, 0, 100, process="p"), _inner], 2, "two clocks, two users"),
    "one in the middle of a long one": Hazard(
        [call("a", FRAMEWORK, 0, 3_000), call("b", CLIENT, 1_000, 2_000)], 2, "a layer adds milliseconds"
    ),
    "two calls around which a framework knows no tokens": Hazard(
        in_trace(
            call("f", FRAMEWORK, 0, 100, usage=Unmetered("no token counts")),
            call("a", CLIENT, 1, 60, usage=tokens(100, 20)),
            call("b", OI_CLIENT, 41, 99, usage=tokens(500, 50)),
        ),
        2,
        "it must not bring them together",
    ),
    "a framework of nobody around calls of two users": Hazard(
        in_trace(
            call("f", FRAMEWORK, 0, 100, customer=NOBODY),
            call("a", CLIENT, 1, 99, customer=Customer(external_customer_id="ann")),
            call("b", OI_CLIENT, 2, 98, customer=Customer(external_customer_id="bob")),
        ),
        2,
        "nor two customers",
    ),
    "calls below two requests": Hazard(
        [call("f", FRAMEWORK, 0, 100, parent_span_id="a" * 16), call("c", CLIENT, 1, 99, parent_span_id="b" * 16)],
        2,
        "two contexts, in two traces",
    ),
    "a stream of which nothing is known around another call": Hazard(
        [call("f", FRAMEWORK, 0, 200, usage=Unmetered("no token counts")), call("c", CLIENT, 50, 60)],
        2,
        "in another trace nothing but tokens tells that it is the same",
    ),
    "an embedding beside an agent's total": Hazard(
        in_trace(
            call("run", AGNO, 0, 100, is_total=True),
            call("e", CLIENT, 1, 40, operation="embeddings", usage=tokens(8, 0)),
        ),
        2,
        "it is not what the total sums up",
    ),
    "one right after the other": Hazard(
        in_trace(call("a", FRAMEWORK, 0, 5), call("b", CLIENT, 7, 14)), 2, "short calls that do not overlap"
    ),
    "two agents at once in one trace": Hazard(
        in_trace(
            call("one", AGNO, 0, 100, is_total=True, usage=tokens(3_000, 300)),
            call("two", AGNO, 10, 60, is_total=True, usage=tokens(500, 50)),
        ),
        2,
        "each sum is of its own run",
    ),
    "a call that is more than the total around it": Hazard(
        in_trace(
            call("run", AGNO, 0, 100, is_total=True, usage=tokens(300, 30)),
            call("call", CLIENT, 10, 60, usage=tokens(9_000, 900)),
        ),
        2,
        "it cannot be a part",
    ),
    "one after the other": Hazard([call("a", FRAMEWORK, 0, 50), call("b", CLIENT, 40, 90)], 2, "not within it"),
    "a client around a framework": Hazard([call("a", CLIENT, 0, 100), call("b", FRAMEWORK, 1, 99)], 2, "upside down"),
    "two libraries": Hazard(
        [call("a", "openinference.instrumentation.groq", 0, 100), call("b", CLIENT, 1, 99)], 2, "none calls the other"
    ),
    "two frameworks": Hazard(
        [call("a", FRAMEWORK, 0, 100), call("b", "openinference.instrumentation.llama_index", 1, 99)], 2, "the same"
    ),
    "scopes that nobody knows, in two traces": Hazard(
        [call("a", "my.app", 0, 100), call("b", "your.app", 1, 99)], 2, "nothing says that one is around the other"
    ),
    "a call made while a stream of the same client is open": Hazard(
        [call("s", CLIENT, 0, 100), below(call("s", CLIENT, 0, 100), call("t", CLIENT, 40, 60))],
        2,
        "some emitters leave the stream's span current",
    ),
    "a tool's call below a model's": Hazard(
        [_chat, below(_chat, call("tool", CLIENT, 20, 30, response_model="gpt-4o"))], 2, "a tool asks another model"
    ),
    "calls below calls, of two scopes in turn": Hazard(chain(AGENTS, CLIENT, AGENTS, CLIENT), 2, "a tool asks again"),
    "two attempts of a framework": Hazard(
        in_trace(
            call("f1", FRAMEWORK, 0, 50),
            call("c1", CLIENT, 1, 49),
            call("f2", FRAMEWORK, 60, 110),
            call("c2", CLIENT, 61, 109),
        ),
        2,
        "both answered: both cost money",
    ),
    "an agent inside a tool inside an agent": Hazard(
        in_trace(
            call("outer chat", AGENTS, 0, 20),
            call("outer call", CLIENT, 1, 19),
            call("inner chat", AGENTS, 30, 50),
            call("inner call", CLIENT, 31, 49),
            call("last chat", AGENTS, 60, 80),
            call("last call", CLIENT, 61, 79),
        ),
        3,
        "each real call, once",
    ),
    "parallel calls of a batch": Hazard(
        [
            *(call(f"f{number}", FRAMEWORK, number, 100 + number) for number in range(5)),
            *(call(f"c{number}", CLIENT, number + 0.5, 99.5 + number) for number in range(5)),
        ],
        5,
        "each is within more than one other",
    ),
    "one within two": Hazard(
        [call("a", FRAMEWORK, 0, 100), call("b", FRAMEWORK, 1, 99), call("c", CLIENT, 2, 98)],
        2,
        "one inner span stands for one outer one only",
    ),
    "the sum of an agent of which no call was seen": Hazard(
        [call("run", AGNO, 0, 100, is_total=True), call("elsewhere", CLIENT, 10, 20)], 2, "another trace"
    ),
    "a constant id of a mock": Hazard(
        [call("a", CLIENT, 0, 10, response_id="chatcmpl-123"), call("b", CLIENT, 20, 30, response_id="chatcmpl-123")],
        2,
        "a weak id is no identity",
    ),
}


@pytest.mark.parametrize("hazard", ONE_CALL.values(), ids=ONE_CALL.keys())
def test_what_is_told_twice_is_billed_once(hazard: Hazard) -> None:
    """Peers bill it as often as it is told."""
    assert len(select(hazard.spans)) == hazard.calls, hazard.reason


@pytest.mark.parametrize("count", [MAX_CANDIDATES, MAX_CANDIDATES + 1, 4 * MAX_CANDIDATES])
def test_any_number_of_equal_calls_begun_together_are_told_apart(count: int) -> None:
    """A gather of embeddings: every outer span begins before the first inner one."""
    outers = [call(f"o{number}", FRAMEWORK, number / 100, 200 + number) for number in range(count)]
    inners = [call(f"i{number}", OI_CLIENT, 10 + number / 100, 199.5 + number) for number in range(count)]

    assert len(select([*outers, *inners])) == count


@pytest.mark.parametrize("hazard", SEVERAL_CALLS.values(), ids=SEVERAL_CALLS.keys())
def test_what_only_looks_alike_is_billed_each(hazard: Hazard) -> None:
    """A call taken for another one is a bill that is lost."""
    assert len(select(hazard.spans)) == hazard.calls, hazard.reason


ALL = {**ONE_CALL, **SEVERAL_CALLS}


@pytest.mark.parametrize("hazard", ALL.values(), ids=ALL.keys())
def test_the_order_in_which_they_come_changes_nothing(hazard: Hazard) -> None:
    """Children end first in a process; behind a Collector nothing is certain."""
    expected = groups_of(hazard.spans)
    for seed in range(20):
        shuffled = random.Random(seed).sample(hazard.spans, len(hazard.spans))

        assert groups_of(shuffled) == expected


@pytest.mark.parametrize("hazard", ALL.values(), ids=ALL.keys())
def test_spans_that_come_later_join_what_was_decided(hazard: Hazard) -> None:
    """Split over requests, each decided when it has rested: what was decided alone stays, and is not billed again."""
    for first in range(len(hazard.spans)):
        order = [hazard.spans[first], *hazard.spans[:first], *hazard.spans[first + 1 :]]
        decided: dict[int, object] = {}
        for count in range(1, len(order) + 1):
            for group in select(order[:count], decided):
                name = next((decided[position] for position in group if position in decided), group[0])
                decided.update(dict.fromkeys(group, name))

        # One after the other some cannot be told apart that can be together, but none is billed that is no call.
        assert len(set(decided.values())) >= 1
        if hazard.calls == len(hazard.spans) or len(hazard.spans) == 2:
            assert len(set(decided.values())) == hazard.calls, hazard.reason


def test_groups_that_were_decided_apart_stay_apart() -> None:
    """Both have been billed: a span that bridges them joins one, and takes none back."""
    bridge = call("bridge", GATEWAY, 0.5, 99.5)

    groups = select([_outer, _inner, bridge], {0: "first", 1: "second"})

    assert sorted(map(len, groups)) == [1, 2]


def groups_of(spans: list[ModelCall]) -> set[frozenset[tuple[str, str]]]:
    return {frozenset((spans[place].trace_id, spans[place].span_id) for place in group) for group in select(spans)}


SPANS = st.lists(
    st.builds(
        lambda number, scope, begin, length, usage, response_id, customer, trace, parent, process: call(
            f"s{number}",
            scope,
            begin,
            begin + length,
            usage=usage,
            response_id=response_id,
            customer=customer,
            trace_id=f"{trace:032x}",
            parent_span_id=None if parent is None else f"s{parent}".encode().hex().ljust(16, "0"),
            process=process,
        ),
        st.integers(0, 10_000),
        st.sampled_from([CLIENT, OI_CLIENT, FRAMEWORK, GATEWAY, NATIVE, "my.app"]),
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from([tokens(8, 0), tokens(1_457, 120), Unmetered("no token counts")]),
        st.sampled_from([None, STRONG, OTHER_STRONG, "chatcmpl-1"]),
        st.sampled_from([NOBODY, Customer(external_customer_id="ann"), Customer(external_customer_id="bob")]),
        st.integers(0, 2),
        st.none() | st.integers(0, 5),
        st.sampled_from(["", "p"]),
    ),
    max_size=12,
    unique_by=lambda each: each.span_id,
)


@given(spans=SPANS, seed=st.integers())
@settings(max_examples=300, deadline=None)
def test_every_span_is_in_one_group_whatever_the_order(spans: list[ModelCall], seed: int) -> None:
    """None vanishes, none is billed twice, and a redelivery in another order is no other bill."""
    groups = select(spans)

    assert sorted(position for group in groups for position in group) == list(range(len(spans)))
    assert groups_of(random.Random(seed).sample(spans, len(spans))) == groups_of(spans)


@given(spans=SPANS)
@settings(max_examples=200, deadline=None)
def test_equal_strong_ids_are_never_two_calls_and_different_ones_never_one(spans: list[ModelCall]) -> None:
    """The provider's own word counts before everything else."""
    groups = select(spans)

    for group in groups:
        assert len({spans[position].strong_id for position in group} - {None}) <= 1
    for response_id in (STRONG, OTHER_STRONG):
        assert sum(any(spans[position].strong_id == response_id for position in group) for group in groups) <= 1
