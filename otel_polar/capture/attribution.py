"""``bill_to``: the application says who pays.

The identity is written twice. Baggage carries it to other services; a private context key, which no header can set,
carries it within this process and wins, so that whoever forges a ``baggage`` header is not believed where the
application has said who pays.

Members of baggage that could name a customer are taken out first. Otherwise a forged internal id would travel on beside
the real external one, and win in the next service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from opentelemetry import baggage, context

from otel_polar.billing.customer import Customer, InvalidIdError, Unattributed, build_customer
from otel_polar.billing.tags import build_tags
from otel_polar.capture import blocks
from otel_polar.capture.baggage import (
    baggage_rules,
    hides_members,
    identity_members,
    with_members_first,
    without_members,
)
from otel_polar.capture.identity import IDENTITY_KEY, SIGNED_MEMBER, Identity, told_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from uuid import UUID

    from opentelemetry.context import Context

    from otel_polar.billing.call import TagValue

P = ParamSpec("P")
R = TypeVar("R")


class _Unset:
    """Not given; ``None`` means nobody."""


_UNSET: Final = _Unset()


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

    Raises:
        TypeError: used as a bare decorator, without parentheses and a user.

    It decorates functions, coroutine functions, generators and asynchronous generators. A generator then runs in a
    context of its own, the one it was called in: nothing leaks into its consumer, whichever thread or task that is. So
    ``with bill_to(...)`` *inside* a generator should not contain a ``yield``: that would leak.
    """

    def __init__(
        self,
        user_id: str | int | UUID | _Unset | None = _UNSET,
        *,
        customer_id: str | UUID | _Unset | None = _UNSET,
        member_id: str | int | UUID | None = None,
        **tags: object,
    ) -> None:
        if callable(user_id):
            raise TypeError("bill_to needs parentheses and a user: @bill_to('user_42')")
        self._is_told = not (isinstance(user_id, _Unset) and isinstance(customer_id, _Unset))
        self._user_id = None if isinstance(user_id, _Unset) else user_id
        self._customer_id = None if isinstance(customer_id, _Unset) else customer_id
        self._member_id = member_id
        self._tags = build_tags(tags)

    def __enter__(self) -> None:
        """Bill to this customer from here."""
        current = blocks.current_context()
        blocks.enter(self, current, self._extend(current))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Bill to whom it was before."""
        blocks.leave(self)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator or asynchronous generator."""
        from otel_polar.capture.decorating import decorate  # noqa: PLC0415 - not for `import otel_polar`

        return decorate(function, lambda: self, follows=True)

    def _extend(self, current: Context) -> Context:
        outer = told_identity(current)
        if self._is_told:
            current = without_members(current, identity_members() | outer.told_tags.keys())
            identity = outer._replace(told=self._customer(), carried=None, told_tags=self._tags)
        else:
            told = outer.told if self._member_id is None else self._with_member(outer.told)
            identity = outer._replace(told=told, told_tags={**outer.told_tags, **self._tags})
            if isinstance(told, Unattributed):
                current = without_members(current, identity_members())
        if not hides_members(current):
            current = _with_members(current, identity, self._tags)
        return context.set_value(IDENTITY_KEY, identity, current)

    def _with_member(self, told: Customer | Unattributed | None) -> Customer | Unattributed | None:
        if not isinstance(told, Customer):
            # There is no customer to be a member of; one that comes by baggage brings its own.
            return told
        try:
            return build_customer(
                internal=told.customer_id,
                external=told.external_customer_id,
                member=self._member_id,
            )
        except InvalidIdError as error:
            return Unattributed(f"bill_to: {error}")

    def _customer(self) -> Customer | Unattributed:
        if self._user_id is None and self._customer_id is None:
            return Unattributed("bill_to(None): the application says that nobody pays")
        try:
            return build_customer(internal=self._customer_id, external=self._user_id, member=self._member_id)
        except InvalidIdError as error:
            return Unattributed(f"bill_to: {error}")


def _with_members(current: Context, identity: Identity, tags: Mapping[str, TagValue]) -> Context:
    """The context with the members that tell the next service who pays, and the *tags*."""
    named: dict[str, str] = {}
    if isinstance(told := identity.told, Customer):
        rules = baggage_rules()
        for names, value in (
            (rules.keys.internal, told.customer_id),
            (rules.keys.external, told.external_customer_id),
            (rules.keys.member, told.member_id),
        ):
            if value is not None and names:
                named[names[0]] = value
        if rules.signatures is not None:
            named[SIGNED_MEMBER] = rules.signatures.sign(told, identity.told_tags)
    for key, value in named.items():
        current = baggage.set_baggage(key, value, current)
    for key, tag in tags.items():
        # W3CBaggagePropagator raises on text that cannot be encoded, in the middle of the application's request.
        if key not in identity_members() and _is_encodable(str(tag)):
            current = baggage.set_baggage(key, str(tag), current)
    # Before whatever came from outside: a caller may send as many members as fit into a header.
    return with_members_first(current, named.keys())


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
