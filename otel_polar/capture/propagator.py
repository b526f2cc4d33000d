"""``PolarBaggagePropagator``: W3C baggage, but nobody from outside says who pays, and nobody outside learns it.

::

    OTEL_PROPAGATORS=tracecontext,polar_baggage

Instead of ``baggage``, not beside it. OpenTelemetry has no allow-list of hosts (open-telemetry/opentelemetry-
specification #3957), and believes whatever a ``baggage`` header says.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace import SpanKind, get_current_span

from otel_polar.capture.baggage import (
    believed_members,
    billing_members,
    identity_members,
    with_members_first,
    without_members,
)
from otel_polar.capture.identity import told_identity
from otel_polar.delivery.notices import logger
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.propagators.textmap import CarrierT, Getter, Setter

_ADDRESSES: Final = ("server.address", "net.peer.name", "http.host")
HEADER: Final = "baggage"
_URLS: Final = ("url.full", "http.url")


class PolarBaggagePropagator(TextMapPropagator):
    """W3C baggage with a guard for the members that say who pays, and for tags.

    - **In**: they are dropped, unless they are signed (``baggage_secret``) or *trust* says that nobody from outside can
      call. Whoever pays is then who the application says, with ``bill_to``.
    - **Out**: they are sent to *hosts* only, and with messages to a broker (spans of kind PRODUCER). The host is that
      of the HTTP client's own span; where there is none that is recorded, nothing is sent.
    - Ours come first in the header: others' members, however many, cannot push them out.

    Args:
        hosts: to which hosts who pays is sent, ``*`` for any text; by default ``OTEL_POLAR_BAGGAGE_HOSTS``.
        trust: whether inbound identities are believed without a signature; by default ``OTEL_POLAR_TRUST_BAGGAGE``.
    """

    def __init__(self, *, hosts: Iterable[str] | str | None = None, trust: bool | None = None) -> None:
        settings = Settings.load(baggage_hosts=hosts, trust_baggage=trust)
        self._hosts = tuple(host.lower() for host in settings.baggage_hosts)
        self._trusts = settings.trust_baggage
        self._w3c = W3CBaggagePropagator()
        self._has_said = False

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """The context with the members of the header that are believed."""
        current = get_current() if context is None else context
        incoming = baggage.get_all(self._w3c.extract(carrier, Context(), getter))
        believed = believed_members(incoming, trusts=self._trusts)
        if len(believed) < len(incoming) and not self._has_said:
            self._has_said = True
            logger.warning(
                "members of inbound baggage that say who pays are dropped: set baggage_secret"
                " (OTEL_POLAR_BAGGAGE_SECRET) in all services, or OTEL_POLAR_TRUST_BAGGAGE=true where nobody from"
                " outside can call",
            )
        if told_identity(current).told is not None:
            # What the application says here is not changed by whom it hears from.
            believed = {key: value for key, value in believed.items() if key not in identity_members()}
        for key, value in believed.items():
            current = baggage.set_baggage(key, value, current)
        return current

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the header for the host that is called."""
        ours = billing_members(context)
        if not ours:
            self._w3c.inject(carrier, context, setter)
        elif self._is_for_us(get_current_span(context)):
            self._w3c.inject(carrier, with_members_first(context, ours), setter)
        else:
            current = without_members(context, ours)
            # The headers of a request that was redirected are those of the request before, to another host.
            written = self._written(carrier)
            if written.keys() & ours:
                setter.set(carrier, HEADER, "")
                for key in written.keys() - ours - baggage.get_all(current).keys():
                    current = baggage.set_baggage(key, written[key], current)
            self._w3c.inject(carrier, current, setter)

    @property
    def fields(self) -> set[str]:
        """The header that is written."""
        return self._w3c.fields

    def _written(self, carrier: Any) -> Mapping[str, object]:
        """The members that are in a carrier already, as far as it can be read."""
        try:
            return baggage.get_all(self._w3c.extract(carrier, Context(), default_getter))
        except Exception:  # noqa: BLE001 - any carrier; most are dictionaries
            return {}

    def _is_for_us(self, span: Any) -> bool:
        if getattr(span, "kind", None) is SpanKind.PRODUCER:
            return True
        host = _host(span)
        return "*" in self._hosts or (host is not None and any(fnmatchcase(host, pattern) for pattern in self._hosts))


def _host(span: Any) -> str | None:
    """Which host the request goes to that *span* is about."""
    if getattr(span, "kind", None) is not SpanKind.CLIENT:
        return None
    attributes: Mapping[str, Any] = span.attributes or {}
    told = [str(attributes[name]) for name in _URLS if name in attributes]
    told += [f"//{attributes[name]}" for name in _ADDRESSES if name in attributes]
    # Clients do not agree on which side of a backslash the host is.
    if not told or "\\" in told[0]:
        return None
    try:
        return urlsplit(told[0]).hostname
    except ValueError:
        return None
