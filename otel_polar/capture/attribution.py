"""Who pays for the calls that start here: ``bill_to``, and the identity a span had at its start.

``bill_to`` writes the identity twice. Baggage carries it to other services; a private context key, which no header can
set, carries it within this process and wins, so that whoever forges a ``baggage`` header is not believed where the
application has said who pays.

Members of baggage that could name a customer are taken out first. Otherwise a forged internal id would travel on beside
the real external one, and win in the next service.
"""

from __future__ import annotations

import inspect
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from opentelemetry import baggage, context

from otel_polar.billing.customer import (
    NOBODY,
    Customer,
    CustomerKeys,
    InvalidIdError,
    Unattributed,
    build_customer,
    check_id,
    read_baggage_customer,
    read_customer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from uuid import UUID

    from opentelemetry.context import Context

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.span import Attributes

P = ParamSpec("P")
R = TypeVar("R")

_IDENTITY_KEY: Final = context.create_key("otel-polar-identity")
_DEFAULT_KEYS: Final = CustomerKeys()


class _Unset:
    """Not given; ``None`` means nobody."""


_UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known about who pays, at one moment.

    ``told`` comes from ``bill_to``, ``carried`` from baggage. ``None`` is no word at all; ``Unattributed`` is a word
    that nobody pays, or an id that cannot be one.
    """

    told: Customer | Unattributed | None = None
    carried: Customer | Unattributed | None = None
    told_tags: Mapping[str, TagValue] = field(default_factory=dict)
    carried_tags: Mapping[str, TagValue] = field(default_factory=dict)


NO_IDENTITY: Final = Identity()


class _BaggageKeys:
    """Under which names ``bill_to`` writes baggage in this process: those the last processor made reads."""

    current = _DEFAULT_KEYS


def use_baggage_keys(keys: CustomerKeys) -> None:
    """Let ``bill_to`` write the members that *keys* reads first."""
    _BaggageKeys.current = keys


class bill_to:  # noqa: N801 - it is used like a function, as contextlib's own context managers are
    """Bill every model call below to one customer: a context manager and a decorator.

    ::

        with bill_to("user_42", plan="pro"):
            client.chat.completions.create(...)

    Args:
        user_id: your own id of the customer, Polar's ``external_customer_id``. ``None`` is nobody: calls are then held
            as unattributed, even inside another ``bill_to``. Left out, the surrounding customer stays and only the tags
            are added.
        customer_id: Polar's id of the customer, a UUID. It wins over *user_id*.
        member_id: the member of that customer who made the calls, in Polar's or your own ids, like the customer.
        tags: metadata for the events. Text, numbers and truth values; anything else is written as text.

    An id must be text of 1 to 200 characters (numbers and UUIDs are written out) without control characters and ``;``.
    One that is not is never cut or repaired: the calls are held as unattributed, and the log says why.

    In a generator the context would leak to the code between two of its steps, so decorating one is a ``TypeError``,
    and ``with bill_to(...)`` inside one should not contain a ``yield``.
    """

    def __init__(
        self,
        user_id: str | int | UUID | _Unset | None = _UNSET,
        *,
        customer_id: str | UUID | _Unset | None = _UNSET,
        member_id: str | int | UUID | None = None,
        **tags: object,
    ) -> None:
        self._is_told = not (isinstance(user_id, _Unset) and isinstance(customer_id, _Unset))
        self._user_id = None if isinstance(user_id, _Unset) else user_id
        self._customer_id = None if isinstance(customer_id, _Unset) else customer_id
        self._member_id = member_id
        self._tags = {key: _tag_value(value) for key, value in tags.items() if value is not None}

    def __enter__(self) -> None:
        """Bill to this customer from here."""
        _entered.set((*_entered.get(), context.attach(self._extend(context.get_current()))))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Bill to whom it was before."""
        *outer, token = _entered.get()
        _entered.set(tuple(outer))
        context.detach(token)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function.

        Raises:
            TypeError: for a generator function.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"bill_to cannot decorate the generator function {function.__qualname__}: see its help")
        # Imported here for the sake of `import otel_polar`.
        import wrapt  # noqa: PLC0415

        if inspect.iscoroutinefunction(function):

            async def around_coroutine(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
                with self:
                    return await wrapped(*args, **kwargs)

            decorator = wrapt.decorator(around_coroutine)
        else:

            def around(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
                with self:
                    return wrapped(*args, **kwargs)

            decorator = wrapt.decorator(around)
        decorated: Callable[P, R] = decorator(function)
        return decorated

    def _extend(self, current: Context) -> Context:
        outer = _told_identity(current)
        if not self._is_told:
            identity = replace(
                outer,
                told=_with_member(outer.told, self._member_id),
                told_tags={**outer.told_tags, **self._tags},
            )
        else:
            current = _without_identity(current, outer)
            identity = Identity(told=self._customer(), told_tags=self._tags)
            current = _with_baggage(current, identity.told)
        keys = _BaggageKeys.current.all | _DEFAULT_KEYS.all
        for key, value in self._tags.items():
            if key not in keys:
                current = baggage.set_baggage(key, str(value), current)
        return context.set_value(_IDENTITY_KEY, identity, current)

    def _customer(self) -> Customer | Unattributed:
        if self._user_id is None and self._customer_id is None:
            return Unattributed("bill_to(None): the application says that nobody pays")
        try:
            return build_customer(internal=self._customer_id, external=self._user_id, member=self._member_id)
        except InvalidIdError as error:
            return Unattributed(f"bill_to: {error}")


# The tokens of the blocks entered in this context, innermost last: a bill_to that is shared by threads or tasks must
# not mix up theirs.
_entered: Final[ContextVar[tuple[Token[Context], ...]]] = ContextVar("otel_polar_entered", default=())


def identity_at_start(parent_context: Context | None, keys: CustomerKeys, tag_keys: tuple[str, ...]) -> Identity | None:
    """The identity of a span that starts in *parent_context* (``None``: the current one); ``None`` if there is none."""
    current = context.get_current() if parent_context is None else parent_context
    told = _told_identity(current)
    if told.told is not None and not tag_keys:
        # Most spans of an application that says who pays: nothing in baggage could change it.
        return told
    members = baggage.get_all(current)
    if not members:
        return None if told is NO_IDENTITY else told
    carried = read_baggage_customer(members, keys)
    carried_tags = {key: _tag_value(members[key]) for key in tag_keys if key in members}
    if carried is None and not carried_tags and told is NO_IDENTITY:
        return None
    return replace(told, carried=carried, carried_tags=carried_tags)


def who_pays(identity: Identity, attributes: Attributes, keys: CustomerKeys) -> Customer | Unattributed:
    """The most explicit word: ``bill_to``, then the span's own attributes, then baggage."""
    return identity.told or read_customer(attributes, keys) or identity.carried or NOBODY


def tags_of(identity: Identity, attributes: Attributes, tag_keys: tuple[str, ...]) -> dict[str, TagValue]:
    """Tags from baggage, from the span's attributes and from ``bill_to``; the later wins."""
    named = {key: _tag_value(attributes[key]) for key in tag_keys if key in attributes}
    return {**identity.carried_tags, **named, **identity.told_tags}


def _told_identity(current: Context) -> Identity:
    identity = current.get(_IDENTITY_KEY)
    return identity if isinstance(identity, Identity) else NO_IDENTITY


def _with_member(told: Customer | Unattributed | None, member_id: object) -> Customer | Unattributed | None:
    if member_id is None or not isinstance(told, Customer):
        return told
    try:
        return replace(told, member_id=check_id(member_id))
    except InvalidIdError as error:
        return Unattributed(f"bill_to: {error}")


def _without_identity(current: Context, outer: Identity) -> Context:
    members = baggage.get_all(current)
    for key in (_BaggageKeys.current.all | _DEFAULT_KEYS.all | outer.told_tags.keys()) & members.keys():
        current = baggage.remove_baggage(key, current)
    return current


def _with_baggage(current: Context, told: Customer | Unattributed | None) -> Context:
    if not isinstance(told, Customer):
        return current
    keys = _BaggageKeys.current
    for names, value in (
        (keys.internal, told.customer_id),
        (keys.external, told.external_customer_id),
        (keys.member, told.member_id),
    ):
        if value is not None and names:
            current = baggage.set_baggage(names[0], value, current)
    return current


def _tag_value(value: object) -> TagValue:
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)
