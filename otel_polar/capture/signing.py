"""Signed identities in baggage: what a caller cannot forge, alter, or keep for ever.

The member is a timed signature of itsdangerous (HMAC-SHA256), and holds the identity itself.
"""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from otel_polar.billing.customer import (
    Customer,
    InvalidIdError,
    Unattributed,
    build_customer,
    read_baggage_customer,
)
from otel_polar.capture.identity import ALTERED, CONTRADICTED, EXPIRED, SIGNED_MEMBER, UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.billing.customer import CustomerKeys

MAX_REMEMBERED: Final = 1_000
_SALT: Final = "otel-polar baggage"


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

    def sign(self, customer: Customer) -> str:
        """The member's value, of characters that no propagator has to encode."""
        identity = [customer.customer_id, customer.external_customer_id, customer.member_id]
        return str(self._serializer.dumps(identity))

    def carried(self, members: Mapping[str, object], keys: CustomerKeys) -> Customer | Unattributed | None:
        """Who pays by the members of baggage; ``None`` if they name nobody, and a refusal if they may be forged."""
        plain = read_baggage_customer(members, keys)
        token = members.get(SIGNED_MEMBER)
        if token is None:
            return None if plain is None else UNSIGNED
        read = self._read(str(token))
        if isinstance(read, Unattributed):
            return read
        customer, signed_at = read
        if self._clock() - signed_at > self._max_age_s:
            return EXPIRED
        return customer if plain is None or plain == customer else CONTRADICTED

    def _read_once(self, token: str) -> tuple[Customer, float] | Unattributed:
        try:
            identity, signed_at = self._serializer.loads(token, return_timestamp=True)
            internal, external, member = identity
            return build_customer(internal=internal, external=external, member=member), signed_at.timestamp()
        except (BadSignature, InvalidIdError, TypeError, ValueError):
            return ALTERED
