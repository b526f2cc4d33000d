"""What Vercel's AI SDK writes of Anthropic's cache, as recorded from ai 5.0.277, 6.0.326 and 7.0.173 (legacy spans)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call
from tests.billing.support import span, tokens

if TYPE_CHECKING:
    from otel_polar.billing.usage import TokenUsage

USED: Final = tokens(2_321, 77, cache_read=2_000, cache_write=300)
"""Anthropic answered: 21 input tokens, 300 written to its cache, 2000 read from it, 77 output tokens."""

METADATA: Final = {
    "ai.response.providerMetadata": (
        '{"anthropic":{"usage":{"input_tokens":21,"output_tokens":77,"cache_creation_input_tokens":300,'
        '"cache_read_input_tokens":2000},"cacheCreationInputTokens":300,"stopSequence":null}}'
    )
}
OBJECT: Final[dict[str, object]] = {
    "ai.operationId": "ai.generateObject.doGenerate",
    "ai.model.provider": "anthropic.messages",
    "gen_ai.usage.input_tokens": 2_321,
    "gen_ai.usage.output_tokens": 77,
}
STREAM: Final[dict[str, object]] = {
    **OBJECT,
    "ai.operationId": "ai.streamObject.doStream",
    "ai.usage.cachedInputTokens": 2_000,
}
OF_VERSION_5: Final[dict[str, object]] = {"gen_ai.usage.input_tokens": 21, **METADATA}


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({**OBJECT, **OF_VERSION_5}, USED, "version 5: the input is Anthropic's own number"),
        ({**STREAM, **OF_VERSION_5}, USED, "the same of a stream"),
        ({**OBJECT, **METADATA}, USED, "version 6: the input is more than Anthropic's own number"),
        ({**STREAM, **METADATA}, USED, "the same of a stream"),
        (OBJECT, tokens(2_321, 77), "version 6 with `recordOutputs: false`: nothing tells of a cache"),
        (STREAM, tokens(2_321, 77, cache_read=2_000), "version 6 with `recordOutputs: false`, and version 7"),
        (
            {**OBJECT, "ai.usage.cachedInputTokens": 2_000},
            tokens(2_321, 77, cache_read=2_000),
            "version 7: no metadata, and no word on what was written",
        ),
        (
            {**STREAM, "gen_ai.usage.input_tokens": 21},
            tokens(2_021, 77, cache_read=2_000),
            "metadata taken away: more was cached than there was input, so it is not part of it",
        ),
    ],
)
def test_cached_tokens_of_objects_are_billed_once(
    attributes: dict[str, object], expected: TokenUsage, reason: str
) -> None:
    """The input of version 5 leaves them out, and objects of later ones lack the attribute that tells which it is."""
    call = read_call(span(attributes, scope_name="ai"))

    assert isinstance(call, ModelCall)
    assert call.usage == expected, reason
