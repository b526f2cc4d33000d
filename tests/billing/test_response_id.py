from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.response_id import is_safe, is_strong_id, issuer, tells_apart

OPENAI_ID = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"

STRONG = [
    (OPENAI_ID, "OpenAI chat completions: 29 letters and digits"),
    ("cmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "OpenAI's older completions"),
    ("resp_68f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7", "OpenAI responses: hex"),
    ("msg_01XFDUDYJgAACzvnptvVoYEL", "Anthropic"),
    ("msg_bdrk_01XFDUDYJgAACzvnptvVoYEL", "Anthropic on Bedrock"),
    ("msg_vrtx_01XFDUDYJgAACzvnptvVoYEL", "Anthropic on Vertex"),
    ("gen-1763640000-Xy7KqP2mVb9TzR4wLs0N", "OpenRouter: time, then 20 random characters"),
    ("chatcmpl-3f2b8c1e9d7a4b6c8e0f1a2b3c4d5e6f", "vLLM: uuid4().hex"),
    ("cmpl-3f2b8c1e-9d7a-4b6c-8e0f-1a2b3c4d5e6f", "vLLM: a UUID with dashes, no part of it 16 long"),
    ("chatcmpl-3F2B8C1E-9D7A-4B6C-8E0F-1A2B3C4D5E6F", "the same in capitals"),
    ("3f2b8c1e-9d7a-4b6c-8e0f-1a2b3c4d5e6f", "DeepSeek, Cohere: a bare UUID"),
    ("e5cc70bb28c444948073e77776eb30ef", "Mistral: 32 hex digits"),
    ("chatcmpl-TRGMqdfKcjquiPYoXFfcPMLrOFAXT", "OpenAI, drawn without a digit: one of 170"),
    ("chatcmpl-gTbwhEZqVcknXRlmYsAdPojFIuQye", "another one"),
    ("a" * 180 + "b1c2d3e4f5g6h7i8j9k0", "200 characters, the longest that is read"),
]
WEAK = [
    ("chatcmpl-123", "Ollama: one of 999"),
    ("chatcmpl-998", "Ollama's last"),
    ("chatcmpl-mock", "a mock server's constant"),
    ("mock-response-id", "the same"),
    ("msg_test", "a test's"),
    ("resp_1", "a counter"),
    ("1763640000", "a time in seconds"),
    ("20261120120000123456", "a time, to the microsecond: two calls can share it"),
    ("chatcmpl-1763640000000000000", "a time in nanoseconds"),
    ("chatcmpl-1763640298754000000", "a time of all digits: still a time"),
    ("gen-1763640000", "OpenRouter cut short"),
    ("chatcmpl-abcdefghijklmnopqrstuv", "letters only: a name, not a draw"),
    ("chatcmpl-constantResponseIdentifier", "words: their case changes from word to word only"),
    ("chatcmpl-ABCDEFGHIJKLMNOPQRSTUVWX", "capitals only"),
    ("chatcmpl-000000000000000000000000000000a1", "a counter with zeros before it"),
    ("00000000-0000-0000-0000-000000000000", "the nil UUID"),
    ("11111111-1111-4111-8111-111111111111", "a test's UUID"),
    ("00000000-0000-0000-0000-000000000123", "a counter dressed as a UUID"),
    ("chatcmpl-AbC123dEf456gHi", "15 random characters are too few"),
    ("ab1-cd2-ef3-gh4-ij5-kl6-mn7-op8", "many short parts are no long one"),
    ("9fAcadmLKt2u_uMP-s7vgAc", "Gemini: short parts, so told by the span instead"),
    ("", "nothing"),
    ("chatcmpl BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "a space cannot stand in an id"),
    ("chatcmpl/BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "nor a slash: it is a path"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa\n", "nor a line break at the end"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8f\x00", "nor NUL: Polar refuses the batch"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fG\u00e9", "nor a letter beyond ASCII"),
    ("\u0663" * 20 + "abcdefgh", "nor digits beyond ASCII"),
    ("b1c2d3e4f5g6h7i8j9k0" + "a" * 181, "201 characters are cut nowhere, so refused"),
]


@pytest.mark.parametrize(("response_id", "reason"), STRONG)
def test_an_id_that_was_drawn_at_random_is_strong(response_id: str, reason: str) -> None:
    """By it, a client, a proxy and a replay of the same answer are one event."""
    assert is_strong_id(response_id), reason


@pytest.mark.parametrize(("response_id", "reason"), WEAK)
def test_an_id_that_another_answer_may_have_is_weak(response_id: str, reason: str) -> None:
    """Polar keeps the first event of an external id for ever: a second call under it is never billed."""
    assert not is_strong_id(response_id), reason


@pytest.mark.parametrize(
    "constant",
    [
        "chatcmpl-FakeTestAnswerIdOne",
        "chatcmpl-MyTestIdForMockAnswer",
        "chatcmpl-TheAnswerOfAFakeServerInATest",
        "chatcmpl-TESTResponseForMOCKAnswerABCD",
        "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYzAbC",
    ],
)
def test_a_constant_made_of_words_is_weak(constant: str) -> None:
    """A stand-in answers every call with it: only the first would be billed."""
    assert not is_strong_id(constant)


@pytest.mark.parametrize(
    ("response_id", "expected", "reason"),
    [
        (OPENAI_ID, True, "whatever is strong"),
        ("chatcmpl-qPbdfajzcmquiyoxtfcvmzrofAXTw", True, "drawn without a digit, and hardly a capital"),
        ("chatcmpl-3f2b8c1e-9d7a-4b6c-8e0f-1a2b3c4d5e6f", True, "litellm's: a UUID has no long part"),
        ("chatcmpl-123", False, "Ollama's, below a proxy that mints its own"),
        ("chatcmpl-mock", False, "a constant"),
        ("chatcmpl/BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", False, "no id"),
        ("lc_run--019a1b2c", False, "a framework's own"),
    ],
)
def test_a_long_id_tells_another_answer_apart_even_if_it_is_weak(
    response_id: str, expected: object, reason: str
) -> None:
    """Two spans of one call do not name two such ids of one issuer."""
    assert tells_apart(response_id) is expected, reason


def test_of_what_is_minted_at_random_hardly_any_is_weak() -> None:
    """By a weak id, a client and a proxy in two traces would be two events."""
    draw = random.Random(7)
    minted = ["chatcmpl-" + "".join(draw.choices(string.ascii_letters + string.digits, k=29)) for _ in range(20_000)]

    assert sum(not is_strong_id(response_id) for response_id in minted) <= 20_000 / 500


@given(response_id=st.from_regex(r"\A(chatcmpl|msg|resp)[-_][0-9A-Za-z]{1,15}\Z"))
@settings(max_examples=200, deadline=None)
def test_no_id_with_fewer_than_16_random_characters_is_strong(response_id: str) -> None:
    """Fewer do not last for ever, and the external id must."""
    assert not is_strong_id(response_id)


@given(response_id=st.text())
@settings(max_examples=200, deadline=None)
def test_only_a_safe_id_is_strong(response_id: str) -> None:
    """It becomes a part of Polar's external id as it is."""
    assert is_safe(response_id) or not is_strong_id(response_id)


@pytest.mark.parametrize(
    ("name", "expected", "reason"),
    [
        ("openai", True, "the usual"),
        ("azure.ai.openai", True, "dots"),
        ("a_b:c-d", True, "what ids are made of"),
        ("x" * 200, True, "the longest"),
        ("x" * 201, False, "too long for a key"),
        ("", False, "nothing"),
        ("my provider", False, "a space"),
        ("a\x00b", False, "NUL"),
        ("openai\n", False, "a line break at the end"),
        ("\ud800", False, "a lone surrogate: Polar answers 500"),
        ("\u00e9", False, "beyond ASCII"),
        ("a/b", False, "a path"),
    ],
)
def test_a_safe_name_can_stand_in_an_external_id(name: str, expected: object, reason: str) -> None:
    """The key goes into a unique index and out again unescaped."""
    assert is_safe(name) is expected, reason


@pytest.mark.parametrize(
    ("response_id", "expected", "reason"),
    [
        (OPENAI_ID, "openai", "chat completions"),
        ("resp_68f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7", "openai", "responses"),
        ("cmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "openai", "the older completions"),
        ("msg_01XFDUDYJgAACzvnptvVoYEL", "anthropic", "messages"),
        ("msg_bdrk_01XFDUDYJgAACzvnptvVoYEL", "anthropic", "messages on Bedrock: minted by Anthropic"),
        ("gen-1763640000-Xy7KqP2mVb9TzR4wLs0N", "openrouter", "OpenRouter"),
        ("e5cc70bb28c444948073e77776eb30ef", None, "Mistral, and anybody's uuid4().hex"),
        ("my-chatcmpl-1", None, "the beginning only"),
        ("", None, "nothing"),
    ],
)
def test_an_id_tells_who_mints_such_ids(response_id: str, expected: str | None, reason: str) -> None:
    """A client and a proxy name two providers for one answer, and must name one event."""
    assert issuer(response_id) == expected, reason
