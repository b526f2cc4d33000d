"""``PolarSpanProcessor``: the one thing a user adds to the tracer provider they have.

It runs on the application's threads, in the middle of other people's work. So it never raises: the SDK does not catch
what a processor raises, it would reach the code that ends the span and skip every later processor. What is not a model
call it lets go in a fraction of a microsecond, and what is one it only writes to disk; all the rest is the delivery
thread's.

The identity is kept beside the span and not on it, because an attribute could be evicted or cut short by the span
limits (opentelemetry-sdk, ``BoundedAttributes``), and a shortened id may be another customer's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeAlias, Unpack
from weakref import WeakKeyDictionary

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import get_current_span

from otel_polar.billing.customer import DroppedAttribute, Unattributed
from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS, PROVIDER_NAME, REQUEST_MODEL
from otel_polar.billing.span import attributes_of, read_span
from otel_polar.capture.baggage import use_baggage_rules
from otel_polar.capture.blocks import current_context, mend_current_context
from otel_polar.capture.identity import (
    NO_IDENTITY,
    REFUSALS,
    BaggageRules,
    Identity,
    identity_in,
    tags_of,
    who_pays,
)
from otel_polar.capture.starts import Starts
from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_polar.billing.span import Attributes, SpanRecord
    from otel_polar.capture.agents import Runs
    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.options import Options
    from otel_polar.settings import Settings


def _act_on_abandoned() -> None:
    """End the spans of what was given up, if anything that can be is in use at all."""
    if (abandoned := sys.modules.get("otel_polar.capture.abandoned")) is not None:
        abandoned.act_on_abandoned()


def baggage_rules_of(settings: Settings) -> BaggageRules:
    """How baggage is read by these settings."""
    signatures = None
    if settings.baggage_secret is not None:
        from otel_polar.capture.signing import Signatures  # noqa: PLC0415 - only where it is asked for

        signatures = Signatures(settings.baggage_secret, settings.baggage_max_age_s)
    return BaggageRules(settings.customer_keys, tuple(settings.tags), signatures)


# What a span started with: who pays, attributes that may be pushed out, and those by which the nearest span around it
# names a user. A plain tuple, because one is made and dropped for every span in a bill_to.
_Started: TypeAlias = "tuple[Identity, Attributes, Attributes]"
_NO_ATTRIBUTES: Final[Attributes] = {}
_NOT_STARTED: Final = (NO_IDENTITY, _NO_ATTRIBUTES, _NO_ATTRIBUTES)


class PolarSpanProcessor(SpanProcessor):
    """Bills every model call whose span ends in this process.

    Takes the options of :class:`~otel_polar.settings.Settings` as keyword arguments; those left out come from the
    environment. Without an access token it says so once and does nothing.

    Raises:
        ConfigError: if an option or variable has a value that cannot be used.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        # For the sake of `import otel_polar`, what only a processor needs is imported here.
        from otel_polar.settings import Settings  # noqa: PLC0415 - not for `import otel_polar`

        settings = Settings.load(**options)
        self._keys = settings.customer_keys
        self._tag_keys = tuple(settings.tags)
        self._rules = baggage_rules_of(settings)
        use_baggage_rules(self._rules)
        self._started: Starts[_Started] = Starts()
        # Set when the span starts, and the first to be pushed out when it has too many attributes.
        self._user_keys = self._keys.all_attributes
        self._naming_keys = self._keys.naming
        self._may_be_dropped: Attributes = {self._keys.external[0]: DroppedAttribute()} if self._keys.external else {}
        # For children that start when their parent has ended.
        self._inherited_by: WeakKeyDictionary[ReadableSpan, Attributes] = WeakKeyDictionary()
        self._kept_keys = self._user_keys | {*self._tag_keys, *MODEL_CALL_MARKERS, *PROVIDER_NAME, *REQUEST_MODEL}
        self._pipeline: Pipeline | None = None
        self._span_rules = tuple(settings.span_rules)
        self._runs: Runs | None = None
        if self._span_rules or settings.agent_event_name is not None:
            # Not asked for every span: that would be a tenth of what on_end takes.
            self.on_end = self._on_end_of_any  # type: ignore[method-assign]  # on purpose, as said
        if settings.access_token is None:
            logger.warning("no access token (POLAR_ACCESS_TOKEN): model calls are not recorded and nobody is billed")
            return
        from otel_polar.delivery.pipeline import Pipeline  # noqa: PLC0415 - not for `import otel_polar`

        self._pipeline = Pipeline(settings)
        if settings.agent_event_name is not None:
            from otel_polar.capture.agents import Runs  # noqa: PLC0415 - only where it is asked for

            self._runs = Runs(settings.agent_event_name, self._pipeline.take_measurement)

    @property
    def pipeline(self) -> Pipeline | None:
        """The engine behind it; ``None`` without an access token."""
        return self._pipeline

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who pays, from the context the span starts in."""
        if self._pipeline is None:
            return
        try:
            context = current_context() if parent_context is None else parent_context
            if self._runs is not None:
                self._runs.begin(span, context)
            identity = identity_in(context, self._rules)
            attributes = attributes_of(span)
            keys = self._kept_keys.intersection(attributes)
            is_told = identity is not None and identity.told is not None
            inherited = _NO_ATTRIBUTES if is_told else self._inherited(context)
            if identity is not None or keys or inherited:
                kept = {key: attributes[key] for key in keys} if keys else _NO_ATTRIBUTES
                if inherited:
                    self._inherited_by[span] = inherited
                self._started.keep(span, (identity or NO_IDENTITY, kept, inherited))
        except Exception as error:  # noqa: BLE001 - the application must not notice
            self._say(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Record the span if it is a model call; it is on disk when this returns."""
        try:
            # These lines run for every span of the application, in a sixth of a microsecond: hence the SDK's private
            # names, for which attributes_of() has the reason, and semconv.MODEL_CALL_MARKERS written out, without that
            # of Vercel's SDK, which is not Python.
            bounded = span._attributes  # noqa: SLF001 - the public name takes too long
            attributes = bounded._dict  # type: ignore[union-attr]  # noqa: SLF001 - the public name takes too long
            if (
                "gen_ai.operation.name" not in attributes
                and "gen_ai.system" not in attributes
                and "openinference.span.kind" not in attributes
                and "otel_polar.event.name" not in attributes
                and not bounded.dropped  # type: ignore[union-attr]  # as above
            ):
                return
        except Exception:  # noqa: BLE001, S110 - spans of another make are looked at by their public names
            pass
        self._look_at(span)

    def _on_end_of_any(self, span: ReadableSpan) -> None:
        """The same where every span is to be looked at, and not only those that say by a word what they are."""
        self._look_at(span)

    def shutdown(self) -> None:
        """Send what can be sent within ``shutdown_timeout_s``; the rest stays on disk."""
        if self._pipeline is not None:
            _act_on_abandoned()
            self._pipeline.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send everything now; whether nothing is left to send. What is left stays on disk."""
        if self._pipeline is None:
            return True
        _act_on_abandoned()
        return self._pipeline.force_flush(timeout_millis / 1_000)

    def _inherited(self, context: Context) -> Attributes:
        """By which attributes the nearest span around a new one names a user, such as a request after a login."""
        parent = get_current_span(context)
        if not isinstance(parent, ReadableSpan):
            return _NO_ATTRIBUTES
        attributes = attributes_of(parent)
        if not self._naming_keys.isdisjoint(attributes):
            return {key: attributes[key] for key in self._user_keys.intersection(attributes)}
        _, kept, _ = self._started.look(parent) or _NOT_STARTED
        if not self._naming_keys.isdisjoint(kept):
            # Pushed out since by the limit of attributes.
            return {key: kept[key] for key in self._user_keys.intersection(kept)}
        if parent.dropped_attributes:
            # It may have named somebody after it began; whoever is named further out need not be the same.
            return self._may_be_dropped
        return self._inherited_by.get(parent, _NO_ATTRIBUTES)

    def _look_at(self, span: ReadableSpan) -> None:
        if self._pipeline is None:
            return
        try:
            identity, start_attributes, inherited = self._started.take(span) or _NOT_STARTED
            around = None if self._runs is None else self._runs.end(span)
            record = read_span(span, start_attributes, self._pipeline.process)
            is_call = not MODEL_CALL_MARKERS.isdisjoint(record.attributes)
            is_measured = EVENT_NAME in record.attributes or self._may_match(record)
            if not is_call and not is_measured:
                return
            mend_current_context()
            customer = who_pays(identity, record, self._keys, inherited)
            if isinstance(customer, Unattributed) and customer in REFUSALS:
                self._pipeline.counts["identity refused"] += 1
            tags = tags_of(identity, record.attributes, self._tag_keys)
            parent = None if self._runs is None else self._runs.event_around(around, record, customer)
            if is_measured:
                from otel_polar.billing.measurement import read_measurements  # noqa: PLC0415 - few need it

                for measurement in read_measurements(record, self._span_rules, customer, tags):
                    self._pipeline.take_measurement(measurement._replace(parent_event_id=parent))
            if is_call:
                self._pipeline.take(record, customer, tags, parent)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            self._say(error)

    def _may_match(self, record: SpanRecord) -> bool:
        if not self._span_rules:
            return False
        from otel_polar.billing.measurement import may_match  # noqa: PLC0415 - few need it

        return may_match(self._span_rules, record.scope_name, record.name)

    def _say(self, error: Exception) -> None:
        if self._pipeline is not None:
            self._pipeline.counts["failed"] += 1
            self._pipeline.notices.error(
                f"processor:{type(error).__name__}",
                "a span could not be looked at (%s); the application is not affected",
                describe(error),
            )
