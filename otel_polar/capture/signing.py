"""Signed identities in baggage: what a caller cannot forge, alter, or keep for ever.

The member is a timed signature of itsdangerous (HMAC-SHA256), and holds the identity itself.
"""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from otel_polar.billing.customer import (
    Customer,
    InvalidIdError,
    Unattributed,
    build_customer,
)
from otel_polar.capture.identity import ALTERED, CONTRADICTED, EXPIRED, SIGNED_MEMBER, UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.customer import CustomerKeys

MAX_REMEMBERED: Final = 1_000
MAX_TOKEN_CHARACTERS: Final = 2_000
"""Of the 4,096 that a member of baggage may have (W3C Baggage)."""

_SALT: Final = "otel-polar baggage"
_NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


class Signatures:
    """Signs identities with a *secret*, and believes none that is older than *max_age_s*."""

    def __init__(self, secret: str, max_age_s: float, clock: Callable[[], float] = time.time) -> None:
        self._serializer = URLSafeTimedSerializer(
            secret,
            salt=_SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        self._max_age_s = max_age_s
        self._clock = clock
        # One header is read for every span of a request.
        self._read = lru_cache(maxsize=MAX_REMEMBERED)(self._read_once)

    def sign(self, customer: Customer, tags: Mapping[str, TagValue] = _NO_TAGS) -> str:
        """The member's value, of characters that no propagator has to encode. Tags that are too long are left out."""
        ids = [customer.customer_id, customer.external_customer_id, customer.member_id]
        token = str(self._serializer.dumps([*ids, {key: str(value) for key, value in tags.items()}]))
        return token if len(token) <= MAX_TOKEN_CHARACTERS else str(self._serializer.dumps([*ids, {}]))

    def carried(
        self, members: Mapping[str, object], keys: CustomerKeys
    ) -> tuple[Customer | Unattributed | None, Mapping[str, object]]:
        """Who pays by the members of baggage, and the tags that were signed with it.

        ``None`` if they name nobody, and a refusal if they may be forged.
        """
        token = members.get(SIGNED_MEMBER)
        if token is None:
            return (UNSIGNED if any(name in members for name in keys.naming) else None), _NO_TAGS
        read = self._read(str(token))
        if isinstance(read, Unattributed):
            return read, _NO_TAGS
        customer, tags, signed_at = read
        if self._clock() - signed_at > self._max_age_s:
            return EXPIRED, _NO_TAGS
        if any(_contradicts(members, names, value) for names, value in _named(customer, keys)):
            return CONTRADICTED, _NO_TAGS
        return customer, tags

    def _read_once(self, token: str) -> tuple[Customer, Mapping[str, object], float] | Unattributed:
        try:
            identity, signed_at = self._serializer.loads(token, return_timestamp=True)
            internal, external, member, tags = identity
            customer = build_customer(internal=internal, external=external, member=member)
            return customer, {str(key): str(value) for key, value in tags.items()}, signed_at.timestamp()
        except (BadSignature, InvalidIdError, AttributeError, TypeError, ValueError):
            return ALTERED


def _named(customer: Customer, keys: CustomerKeys) -> Iterator[tuple[tuple[str, ...], str | None]]:
    yield keys.internal, customer.customer_id
    yield keys.external, customer.external_customer_id
    yield keys.member, customer.member_id


def _contradicts(members: Mapping[str, object], names: tuple[str, ...], value: str | None) -> bool:
    """Whether beside the signed id stands another one under any of its names. None has to."""
    return any(name in members and str(members[name]) != value for name in names)
