"""What people see, why it is so, and what to type. Each cause is named by a check of ``otel-polar doctor``."""

from __future__ import annotations

from typing import Final, NamedTuple


class Trouble(NamedTuple):
    """A row of the table. ``check`` is the one that names the cause, ``option`` what it needs on the command line."""

    symptom: str
    cause: str
    to_type: str
    check: str
    option: str = ""


_APP: Final = "--app module:function"
_CUSTOMER: Final = "--customer USER"

TROUBLES: Final = (
    Trouble(
        "Nothing arrives on Polar; the log says 401",
        "The access token is wrong, revoked or expired",
        "export POLAR_ACCESS_TOKEN=polar_oat_...",
        "polar.token",
    ),
    Trouble(
        "Nothing arrives on Polar since going live; the log says 401",
        "The token is of the other server: sandbox and production have tokens of their own",
        "export POLAR_SERVER=production",
        "polar.server",
    ),
    Trouble(
        "Nothing arrives on Polar; the log says 403",
        "The token lacks the scope events:write",
        "in Polar's settings: add events:write to the token",
        "polar.events_write",
    ),
    Trouble(
        "Nothing arrives, and nothing is said",
        "There is no access token, or its variable is misspelt",
        "export POLAR_ACCESS_TOKEN=polar_oat_...",
        "settings.token",
    ),
    Trouble(
        "Nothing arrives, though traces do",
        "No PolarSpanProcessor is on the tracer provider that makes the spans",
        "PolarInstrumentor().instrument(tracer_provider=provider)",
        "application.processor",
        _APP,
    ),
    Trouble(
        "Only a few of all calls arrive",
        "A sampler drops the others: what is not sampled has no span",
        "PolarInstrumentor().instrument(tracer_provider=provider)",
        "sampling.sampler",
        _APP,
    ),
    Trouble(
        "No span of the openai client at all; the log says that an import failed",
        "openai-v2 2.4b0 cannot be imported with opentelemetry-util-genai 1.2b0 or newer",
        "pip install 'opentelemetry-util-genai<1.2b0'",
        "versions.openai_v2",
    ),
    Trouble(
        "Agents and tools have spans, and nothing is billed",
        "The instrumentation of the framework makes no spans of model calls",
        "instrument the client of the provider, too",
        "instrumentations.no_calls",
        _APP,
    ),
    Trouble(
        "The event is on Polar, and the customer is charged nothing",
        "Polar has no customer with that external id, and never bills what came before there is one",
        "otel-polar customers ensure USER --email ...",
        "customers.exists",
        _CUSTOMER,
    ),
    Trouble(
        "The customer and the events are there, and nothing is charged",
        "No subscription of theirs has a price on a meter that counts the events",
        "in Polar: a product with a metered price, and a subscription to it",
        "customers.pays",
        _CUSTOMER,
    ),
    Trouble(
        "Events arrive, and no meter moves",
        "No meter counts events of this name",
        "otel-polar setup",
        "polar.meters",
    ),
    Trouble(
        "A meter stays at 0",
        "It counts by a key with a dot in it, which Polar reads as one key within another",
        "otel-polar setup",
        "polar.meter_key",
    ),
    Trouble(
        "Calls to one model do not arrive",
        "No price of the model is known; an unknown price is never taken for 0",
        "otel-polar price PROVIDER MODEL; otel-polar outbox reprice",
        "prices.models",
    ),
    Trouble(
        "Calls are held: unattributed",
        "Nobody is named who pays",
        "with bill_to(USER): ...; otel-polar outbox assign",
        "outbox.unattributed",
    ),
    Trouble(
        "Calls are held: unmetered",
        "The spans tell no tokens, as those of streams that did not ask for usage",
        "PolarInstrumentor, which asks for it",
        "outbox.unmetered",
    ),
    Trouble(
        "Calls wait, and nobody sends them",
        "The application has ended, and none with these settings runs",
        "otel-polar outbox send",
        "outbox.backlog",
    ),
    Trouble(
        "Calls wait since the token was changed",
        "Each token and server has an outbox directory of its own",
        "otel-polar outbox send, with the old settings",
        "outbox.elsewhere",
    ),
    Trouble(
        "Calls are gone after a restart of the container",
        "The outbox could not be written, or was not on a volume",
        "export OTEL_POLAR_OUTBOX_DIR=/var/lib/otel-polar",
        "outbox.directory",
    ),
    Trouble(
        "Calls of one customer are on another's bill",
        "Who pays is read from a baggage header that anybody may write",
        "export OTEL_PROPAGATORS=tracecontext,polar_baggage",
        "propagation.baggage",
        _APP,
    ),
    Trouble(
        "Events arrive late, each by the same time",
        "The clock of the machine is ahead of Polar's, which refuses events of the future",
        "timedatectl set-ntp true",
        "polar.clock",
    ),
    Trouble(
        "Calls wait; the log says that Polar cannot be reached",
        "DNS, a firewall, a proxy, or a certificate: doctor says which",
        "otel-polar doctor --only polar",
        "polar.reach",
    ),
)
