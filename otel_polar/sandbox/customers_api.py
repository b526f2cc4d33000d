"""Customers: created once, found by either id, changed, and the state of their subscriptions and meters.

An ``external_id`` is set once and never changed. Emails are compared without regard to case. Who is addressed by
external id cannot be given another one: that body has no such member.

Sources: polarsource/polar, server/polar/customer/endpoints.py, service.py and schemas/customer.py.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, queries, scalars, shapes
from otel_polar.sandbox.bodies import problem, read_body, read_changes, read_metadata
from otel_polar.sandbox.scalars import refused
from otel_polar.sandbox.schema import Member, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from otel_polar.sandbox.records import Customer
    from otel_polar.sandbox.scalars import Problem
    from otel_polar.sandbox.store import SandboxStore

_SORTS: Final[Mapping[str, Callable[[Customer], Any]]] = {
    "created_at": lambda customer: customer.created_at_us,
    "email": lambda customer: customer.email or "",
    "name": lambda customer: customer.name or "",
}


def _email(value: Any) -> str:
    address = scalars.text(value)
    local, _, domain = address.partition("@")
    if not local or "@" in domain or "." not in domain:
        raise refused("value_error", "value is not a valid email address", value, reason="invalid")
    return f"{local}@{domain.lower()}"


_CHANGES: Final = {
    "email": Member(scalars.optional(_email)),
    "name": Member(scalars.optional(scalars.text)),
    "metadata": Member(read_metadata),
}
_ALL_CHANGES: Final = {
    **_CHANGES,
    "external_id": Member(scalars.optional(scalars.text)),
    "type": Member(scalars.optional(one_of("individual", "team"))),
}


@dataclass(frozen=True, slots=True)
class CustomersApi:
    """The endpoints around customers."""

    store: SandboxStore

    async def create(self, request: Request) -> Response:
        """Create a customer, or refuse an email or external_id that is taken."""
        fields = _read_customer(await answers.read_json(request))
        problems = [*self._email_taken(fields["email"]), *self._external_id_taken(fields["external_id"])]
        if problems:
            return answers.semantic_error(problems)
        try:
            customer = self.store.insert_customer(**fields)
        except sqlite3.IntegrityError:
            return answers.server_error()
        self.store.insert_member(customer.id)
        self.store.insert_system_event("customer.created", customer.id, _told(customer))
        return JSONResponse(shapes.customer_shape(customer, self._first_event_us(customer)), 201)

    async def update(self, request: Request) -> Response:
        """Change a customer found by its id."""
        return await self._update(request, _ALL_CHANGES)

    async def update_external(self, request: Request) -> Response:
        """Change a customer found by its external_id, all but that."""
        return await self._update(request, _CHANGES)

    async def _update(self, request: Request, members: Mapping[str, Member]) -> Response:
        changes = read_changes(await answers.read_json(request), members)
        customer = self._find(request)
        if customer is None:
            return answers.not_found()
        if problems := list(self._problems(customer, changes)):
            return answers.semantic_error(problems)
        # A null email or type is no change; a null name is one.
        named = {name: changes[name] for name in ("name", "metadata", "external_id") if name in changes}
        changed = replace(
            customer,
            email=changes.get("email") or customer.email,
            kind=changes.get("type") or customer.kind,
            **named,
        )
        if changed != customer:
            changed = replace(changed, modified_at_us=self.store.now_us())
            try:
                self.store.update_customer(changed)
            except sqlite3.IntegrityError:
                return answers.server_error()
            told = {name: changes[name] for name in ("name", "email", "metadata") if name in changes}
            self.store.insert_system_event("customer.updated", customer.id, {**_told(changed), "updated_fields": told})
        return JSONResponse(shapes.customer_shape(changed, self._first_event_us(changed)))

    def _problems(self, customer: Customer, changes: Mapping[str, Any]) -> Iterator[Problem]:
        email = changes.get("email")
        if email is not None and (customer.email or "").lower() != email.lower():
            yield from self._email_taken(email)
        external_id = changes.get("external_id", customer.external_id)
        if external_id != customer.external_id:
            if customer.external_id is not None:
                yield problem("external_id", "Customer external ID cannot be updated.", external_id)
            else:
                yield from self._external_id_taken(external_id)
        if customer.kind == "team" and changes.get("type") == "individual":
            message = "Customer type cannot be downgraded from 'team' to 'individual'."
            yield problem("type", message, "individual")

    def _email_taken(self, email: str | None) -> Iterator[Problem]:
        if email is not None and self.store.find_customers("lower_case(email) = ?", email.lower()):
            yield problem("email", "A customer with this email address already exists.", email)

    def _external_id_taken(self, external_id: str | None) -> Iterator[Problem]:
        if external_id is not None and self.store.find_customers("external_id = ?", external_id):
            yield problem("external_id", "A customer with this external ID already exists.", external_id)

    async def list_all(self, request: Request) -> Response:
        """Answer with the customers, the newest first unless sorted otherwise.

        There is no filter by external_id: one customer is asked for by its own address.
        """
        query = request.query_params
        email, text = query.get("email"), query.get("query", "").lower()
        metadata = queries.read_metadata_query(query)
        found = [
            customer
            for customer in self.store.customers()
            if (email is None or (customer.email or "").lower() == email.lower())
            and _is_found(customer, text)
            and queries.has_metadata(customer.metadata, metadata)
        ]
        queries.sort(request, found, _SORTS, "-created_at")
        return queries.page(request, found, self._shape)

    async def get(self, request: Request) -> Response:
        """Answer with one customer, by id or by external_id."""
        customer = self._find(request)
        return answers.not_found() if customer is None else JSONResponse(self._shape(customer))

    async def get_state(self, request: Request) -> Response:
        """Answer with one customer, its subscriptions, its benefits, and the meters its events or credits reached."""
        customer = self._find(request)
        if customer is None:
            return answers.not_found()
        meters = [meter for meter in self.store.meters() if meter.archived_at_us is None]
        active = list(self.store.balances.of_customer(customer, meters))
        subscriptions = [one for one in self.store.catalog.subscriptions.all() if one["customer_id"] == customer.id]
        return JSONResponse(shapes.state_shape(self._shape(customer), subscriptions, active))

    def _find(self, request: Request) -> Customer | None:
        wanted = request.path_params
        column = "id" if "id" in wanted else "external_id"
        return next(iter(self.store.find_customers(f"{column} = ?", wanted[column])), None)

    def _shape(self, customer: Customer) -> dict[str, Any]:
        return shapes.customer_shape(customer, self._first_event_us(customer))

    def _first_event_us(self, customer: Customer) -> int | None:
        first = "(SELECT min(timestamp_us) FROM events WHERE source = 'user' AND {} = ?)"
        query = f"SELECT {first.format('customer_id')}, {first.format('external_customer_id')}"
        (times,) = self.store.database.rows(query, (customer.id, customer.external_id))
        return min((at_us for at_us in times if at_us is not None), default=None)


def _is_found(customer: Customer, text: str) -> bool:
    shown = f"{customer.name or ''}\n{customer.email or ''}".lower()
    return text in shown or (customer.external_id or "").lower().startswith(text)


def _told(customer: Customer) -> dict[str, Any]:
    return {
        "customer_id": customer.id,
        "customer_email": customer.email,
        "customer_name": customer.name,
        "customer_external_id": customer.external_id,
    }


def _read_customer(body: Any) -> dict[str, Any]:
    kind = body.get("type", "individual") if isinstance(body, dict) else "individual"
    email = Member(scalars.optional(_email), default=None) if kind == "team" else Member(_email)
    members = {
        "external_id": Member(scalars.optional(scalars.text), default=None),
        "email": email,
        "name": Member(scalars.optional(scalars.text), default=None),
        "metadata": Member(read_metadata, default={}),
    }
    fields = read_body(body, members)
    return {**fields, "kind": one_of("individual", "team")(kind)}
