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

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace import SpanKind, get_current_span

from otel_polar.capture.baggage import billing_members, keeps_signed, with_members_first, without_members
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import CarrierT, Getter, Setter

_ADDRESSES: Final = ("server.address", "net.peer.name", "http.host")
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

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """The context with the members of the header that are believed."""
        extracted = self._w3c.extract(carrier, context, getter)
        if self._trusts:
            return extracted
        refused = billing_members(extracted)
        if keeps_signed(extracted):
            # The processor looks at the signature, and holds the call if it is wrong.
            return extracted
        return without_members(extracted, refused)

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
            self._w3c.inject(carrier, without_members(context, ours), setter)

    @property
    def fields(self) -> set[str]:
        """The header that is written."""
        return self._w3c.fields

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
    return urlsplit(told[0]).hostname if told else None
