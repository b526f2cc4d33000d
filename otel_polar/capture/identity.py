"""What is known about who pays, where it is kept in a context, and which word counts.

The sources, most explicit first: ``bill_to`` (kept under a private context key, which no header can set), the span's
own attributes, baggage; and then whatever names a user on the span, on the nearest span around it, or on the resource.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import baggage, context

from otel_polar.billing.customer import (
    Customer,
    CustomerKeys,
    Unattributed,
    find_customer,
    read_baggage_customer,
)
from otel_polar.billing.tags import build_tags, read_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.span import Attributes, SpanRecord
    from otel_polar.capture.signing import Signatures

IDENTITY_KEY: Final = context.create_key("otel-polar-identity")
_NO_TAGS: Final[Mapping[str, TagValue]] = MappingProxyType({})
_NO_ATTRIBUTES: Final[Mapping[str, object]] = MappingProxyType({})
SIGNED_MEMBER: Final = "polarIdentity"
"""The member of baggage that holds a signed identity."""

UNSIGNED: Final = Unattributed("baggage: an identity that is not signed is not believed (baggage_secret)")
ALTERED: Final = Unattributed("baggage: the signature of the identity is wrong")
EXPIRED: Final = Unattributed("baggage: the signed identity is too old (baggage_max_age_s)")
CONTRADICTED: Final = Unattributed("baggage: the signed identity and the one beside it are not the same")
REFUSALS: Final = frozenset({UNSIGNED, ALTERED, EXPIRED, CONTRADICTED})
"""Identities that may be forged."""


# Not a dataclass, for the sake of `import otel_polar`.
class Identity(NamedTuple):
    """What is known about who pays, at one moment.

    ``told`` comes from ``bill_to``, ``carried`` from baggage. ``None`` is no word at all; ``Unattributed`` is a word
    that nobody pays, or an id that cannot be one. One that is settled has all that baggage says; it was taken out.
    """

    told: Customer | Unattributed | None = None
    carried: Customer | Unattributed | None = None
    told_tags: Mapping[str, TagValue] = _NO_TAGS
    carried_tags: Mapping[str, TagValue] = _NO_TAGS
    is_settled: bool = False


NO_IDENTITY: Final = Identity()


class BaggageRules(NamedTuple):
    """Which members are read: the ids by their *keys*, and the *tags*; ids only with a signature, if there are any."""

    keys: CustomerKeys = CustomerKeys()
    tags: tuple[str, ...] = ()
    signatures: Signatures | None = None


def told_identity(current: Context) -> Identity:
    """What ``bill_to`` has said in this context."""
    identity = current.get(IDENTITY_KEY)
    return identity if isinstance(identity, Identity) else NO_IDENTITY


def identity_in(current: Context, rules: BaggageRules) -> Identity | None:
    """The identity of a span that starts in a context; ``None`` if there is none."""
    told = told_identity(current)
    if told.is_settled or (told.told is not None and not rules.tags):
        # Most spans of an application that says who pays: nothing in baggage could change it.
        return told
    members = baggage.get_all(current)
    if not members:
        return None if told is NO_IDENTITY else told
    carried: Customer | Unattributed | None
    tags: Mapping[str, object] = members
    if rules.signatures is None:
        carried = read_baggage_customer(members, rules.keys)
    else:
        carried, tags = rules.signatures.carried(members, rules.keys)
    carried_tags = build_tags({key: tags[key] for key in rules.tags if key in tags})
    if carried is None and not carried_tags and told is NO_IDENTITY:
        return None
    return told._replace(carried=carried, carried_tags=carried_tags)


def who_pays(
    identity: Identity,
    span: SpanRecord,
    keys: CustomerKeys,
    inherited: Attributes = _NO_ATTRIBUTES,
) -> Customer | Unattributed:
    """The most explicit word; *inherited* are the attributes of the nearest span around this one that names anybody."""
    if identity.told is not None:
        return identity.told
    return find_customer(
        span.attributes,
        keys,
        carried=identity.carried,
        inherited=inherited,
        resource_attributes=span.resource_attributes,
        attribute_length_limit=span.attribute_length_limit,
    )


def tags_of(identity: Identity, attributes: Attributes, tag_keys: tuple[str, ...]) -> dict[str, TagValue]:
    """Tags from baggage, from the span's attributes and from ``bill_to``; the later wins."""
    named = read_tags(attributes, tag_keys)
    return {**identity.carried_tags, **named, **identity.told_tags}
