"""Who pays: one customer, from the most explicit source that names one.

Polar knows a customer by its own id (``customer_id``, a UUID) or by yours (``external_customer_id``). Only one is sent;
the internal one wins, as in ai-billing's Polar destination. The sources, most explicit first::

    bill_to(...)  >  the span's attributes  >  baggage  >  what other systems call a user, on the span
                  >  the same of the nearest span around it  >  the same of the resource

What other systems call a user comes after baggage, because it may be another system's id of the same person: a hash for
the provider, a login of an identity provider.

An id that cannot be right (too long, control characters, not text) is refused, and the search ends there: falling back
to a less explicit source could bill somebody else, and cutting an id short can turn it into another customer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ID_CHARACTERS: Final = 200
_UUID_VERSION: Final = 4
_NO_ATTRIBUTES: Final[Mapping[str, object]] = MappingProxyType({})
# What a missing id looks like once a sender has written it as text, such as the W3CBaggagePropagator does with None.
_WRITTEN_NOTHING: Final = frozenset({"None", "null", "undefined"})

DEFAULT_CUSTOMER_ID_KEYS: Final = ("customerId", "polarCustomerId", "customer_id")
DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS: Final = ("userId", "externalId", "user_id", "user.id", "enduser.id")
DEFAULT_MEMBER_ID_KEYS: Final = ("memberId", "member_id")
DEFAULT_USER_ID_ATTRIBUTES: Final = (
    "session.user_id",
    "langfuse.user.id",  # Langfuse
    "langfuse.trace.userId",
    "traceloop.association.properties.user_id",  # OpenLLMetry, set_association_properties
    "traceloop.association.properties.userId",
    "ai.telemetry.metadata.userId",  # Vercel AI SDK, experimental_telemetry.metadata
    "ai.telemetry.metadata.user_id",
    "langsmith.metadata.user_id",  # LangSmith
    "metadata.user_api_key_end_user_id",  # litellm
    "gen_ai.request.user",  # OpenLIT, OpenLLMetry: OpenAI's parameter `user`
    "llm.user",  # OpenLLMetry before 0.20
    "llm.request.user",
)


@dataclass(frozen=True, slots=True)
class Customer:
    """Exactly one of ``customer_id`` (Polar's UUID) and ``external_customer_id`` (yours), perhaps with a member."""

    customer_id: str | None = None
    external_customer_id: str | None = None
    member_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unattributed:
    """Nobody to bill. ``reason`` says why, without the offending id in it: it is shown in logs."""

    reason: str


NOBODY: Final = Unattributed("no customer: not inside bill_to(...), and no customer key in attributes or baggage")


# Not a dataclass, for the sake of `import otel_polar`.
class CustomerKeys(NamedTuple):
    """Under which names ids are looked for, in order; the first name that is present decides."""

    internal: tuple[str, ...] = DEFAULT_CUSTOMER_ID_KEYS
    external: tuple[str, ...] = DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS
    member: tuple[str, ...] = DEFAULT_MEMBER_ID_KEYS
    other_systems: tuple[str, ...] = DEFAULT_USER_ID_ATTRIBUTES

    @property
    def all(self) -> frozenset[str]:
        """Every name by which a customer is meant, of whichever kind; in attributes and in baggage."""
        return frozenset((*self.internal, *self.external, *self.member))

    @property
    def all_attributes(self) -> frozenset[str]:
        """Every attribute that is looked at."""
        return self.all.union(self.other_systems)

    @property
    def naming(self) -> frozenset[str]:
        """Those that name somebody: a member alone does not."""
        return frozenset((*self.internal, *self.external, *self.other_systems))


class DroppedAttribute:
    """Stands for an attribute that a span may have had, and that its limit has pushed out: an id that cannot be one."""


class InvalidIdError(ValueError):
    """A value that cannot be a customer's id; the message says why and does not repeat the value."""


def check_id(value: object) -> str:
    """A customer's or member's id as text of 1 to 200 characters, without control characters.

    Whole numbers and UUIDs are written out, because databases hand them out as ids.

    Raises:
        InvalidIdError: if the value is anything else. It is never cut or repaired into another id.
    """
    text = _write_out(value)
    if not text or text in _WRITTEN_NOTHING:
        raise InvalidIdError("an id must not be empty, nor the word for nothing")
    if len(text) > MAX_ID_CHARACTERS:
        raise InvalidIdError(f"an id must not be longer than {MAX_ID_CHARACTERS} characters (it has {len(text)})")
    if text != text.strip():
        raise InvalidIdError("an id must not begin or end with white space")
    if not text.isprintable():
        raise InvalidIdError("an id must not contain control characters")
    # In W3C baggage a ';' starts the properties of a member: the next service would read a shorter id.
    if ";" in text:
        raise InvalidIdError("an id must not contain ';'")
    return text


def _write_out(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, UUID):
        return str(value)
    # A longer number is no id, and Python refuses to write out one of more than 4300 digits.
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MAX_ID_CHARACTERS:
        return str(value)
    raise InvalidIdError(f"an id must be text, or a whole number of usual size, not {type(value).__name__}")


def check_internal_id(value: object) -> str:
    """Polar's own customer id: a UUID of version 4, in its usual lower-case form.

    Raises:
        InvalidIdError: if it is not; Polar would refuse the whole batch the event is in.
    """
    text = check_id(value)
    try:
        parsed = UUID(text)
    except ValueError:
        parsed = None
    # Compared as written: uuid.UUID also reads what is not quite a UUID as another one.
    if parsed is None or str(parsed) != text.lower() or parsed.version != _UUID_VERSION:
        raise InvalidIdError(
            "Polar's own ids of customers and members are UUIDs of version 4; pass your own id as the external one",
        )
    return str(parsed)


def check_baggage_id(value: object) -> str:
    """An id that travelled in W3C baggage, where properties may follow a ``;``.

    White space inside is refused: a ``+`` written by a sender that does not percent-encode it arrives as a space
    (``urllib.parse.unquote_plus`` in the W3CBaggagePropagator), so ``a+b@example.com`` would bill ``a b@example.com``.

    Raises:
        InvalidIdError: see :func:`check_id`.
    """
    if isinstance(value, str) and ";" in value:
        value = value.partition(";")[0].rstrip()
    text = check_id(value)
    if any(character.isspace() for character in text):
        raise InvalidIdError("an id in baggage must not contain white space: it may have been a '+'")
    return text


def read_customer(
    attributes: Mapping[str, object],
    keys: CustomerKeys,
    *,
    attribute_length_limit: int | None = None,
) -> Customer | Unattributed | None:
    """The customer named by the span's own attributes, ``None`` if they name none.

    Under an *attribute_length_limit* an id of that length may be the beginning of a longer one, and is refused.
    """

    def check(value: object) -> str:
        text = check_id(value)
        if attribute_length_limit is not None and len(text) >= attribute_length_limit:
            raise InvalidIdError(f"an id may have been cut by the span limit of {attribute_length_limit} characters")
        return text

    return _read(attributes, keys, check=check)


def read_other_user(
    attributes: Mapping[str, object],
    keys: CustomerKeys,
    *,
    attribute_length_limit: int | None = None,
) -> Customer | Unattributed | None:
    """The customer by what another system calls its user, ``None`` if there is no such attribute."""
    only_others = CustomerKeys(internal=(), external=keys.other_systems, member=())
    return read_customer(attributes, only_others, attribute_length_limit=attribute_length_limit)


def find_customer(
    attributes: Mapping[str, object],
    keys: CustomerKeys,
    *,
    carried: Customer | Unattributed | None = None,
    inherited: Mapping[str, object] = _NO_ATTRIBUTES,
    resource_attributes: Mapping[str, object] = _NO_ATTRIBUTES,
    attribute_length_limit: int | None = None,
) -> Customer | Unattributed:
    """Who pays, as far as ``bill_to`` has not said it.

    Args:
        attributes: those of the span.
        keys: under which names ids are looked for.
        carried: what baggage says.
        inherited: attributes of the nearest span around it that names anybody.
        resource_attributes: those of the process.
        attribute_length_limit: what attributes of spans are cut at.
    """
    limit = attribute_length_limit
    return (
        read_customer(attributes, keys, attribute_length_limit=limit)
        or carried
        or read_other_user(attributes, keys, attribute_length_limit=limit)
        or read_any_user(inherited, keys, attribute_length_limit=limit)
        or read_any_user(resource_attributes, keys)
        or NOBODY
    )


def read_any_user(
    attributes: Mapping[str, object],
    keys: CustomerKeys,
    *,
    attribute_length_limit: int | None = None,
) -> Customer | Unattributed | None:
    """The customer that attributes name, or else by what another system calls its user; ``None`` if they name none."""
    if not attributes:
        return None
    named = read_customer(attributes, keys, attribute_length_limit=attribute_length_limit)
    return named or read_other_user(attributes, keys, attribute_length_limit=attribute_length_limit)


def read_baggage_customer(members: Mapping[str, object], keys: CustomerKeys) -> Customer | Unattributed | None:
    """The customer named by baggage members, ``None`` if they name none."""
    return _read(members, keys, check=check_baggage_id)


def build_customer(*, internal: object = None, external: object = None, member: object = None) -> Customer:
    """A checked customer; the internal id wins where both are given.

    Raises:
        InvalidIdError: if an id that would be used is not one, or neither is given.
    """
    if internal is not None:
        # Beside Polar's own customer id Polar takes only its own member ids, and refuses the whole batch for others.
        member_id = None if member is None else check_internal_id(member)
        return Customer(customer_id=check_internal_id(internal), member_id=member_id)
    return Customer(external_customer_id=check_id(external), member_id=None if member is None else check_id(member))


def _read(members: Mapping[str, object], keys: CustomerKeys, *, check: _Check) -> Customer | Unattributed | None:
    internal = _first(members, keys.internal)
    external = _first(members, keys.external) if internal is None else None
    if internal is None and external is None:
        return None
    member = _first(members, keys.member)
    checked: dict[str, str] = {}
    for key in (internal, external, member):
        if key is not None:
            try:
                checked[key] = check(members[key])
            except InvalidIdError as error:
                return Unattributed(f"{key}: {error}")
    try:
        return build_customer(
            internal=checked.get(internal or ""),
            external=checked.get(external or ""),
            member=checked.get(member or ""),
        )
    except InvalidIdError as error:
        return Unattributed(f"{internal}: {error}")


def _first(members: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in members:
            return name
    return None


if TYPE_CHECKING:
    from collections.abc import Callable

    _Check = Callable[[object], str]
