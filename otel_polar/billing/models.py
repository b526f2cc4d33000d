"""Whether two names are of one model: emitters write it with and without vendor, region and date.

Only for telling whether two spans can be about one call; prices are looked up by the names as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

# -2024-07-18, @20250929, -0613, -001, -latest, and Bedrock's -v1:0 behind it; never -5, which is another model.
_VERSION: Final = re.compile(r"(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{6}|\d{8}|\d{3,4}|latest))?(?:-v\d{1,3}(?::\d{1,3})?)?$")
_VENDORS: Final = re.compile(r"^((us|eu|apac|global|jp|au|us-gov)\.)?[a-z0-9]+\.(?=[a-z])")


def same_model(one: ModelCall, other: ModelCall) -> bool:
    """Whether two calls may be to one model; true where either names none."""
    names = {_base(name) for name in (one.request_model, one.response_model) if name}
    others = {_base(name) for name in (other.request_model, other.response_model) if name}
    return not names or not others or not names.isdisjoint(others)


@lru_cache(maxsize=1024)
def _base(name: str) -> str:
    # openai/gpt-4o-mini, accounts/…/models/…, arn:…:inference-profile/us.anthropic.claude-…-20241022-v1:0
    lowered = name.strip().lower().rpartition("/")[2]
    return _VERSION.sub("", _VENDORS.sub("", lowered)) or lowered
