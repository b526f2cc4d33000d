"""Spans that are never recorded: a sampler drops them, and no processor hears of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, StaticSampler, TraceIdRatioBased

from otel_polar.capture.sampling import BillingSampler
from otel_polar.checkup.finding import Finding, counted, note, problem, warning, well

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler

_RATIO: Final = re.compile(r"(?:[Rr]atio|[Pp]robability)[^{(\[]*[{(\[]\s*([01](?:\.\d+)?(?:[eE]-\d+)?)")
_BILL: Final = (
    "PolarInstrumentor().instrument(tracer_provider=provider)",
    "# or TracerProvider(sampler=BillingSampler(...)), or OTEL_TRACES_SAMPLER=polar and OTEL_TRACES_SAMPLER_ARG=...",
)
_ALWAYS_RECORDS: Final = "AlwaysRecordSampler"
"""Of opentelemetry-sdk from 1.45 on: by its name, because older ones do not have it."""

_NOT_THERE: Final = "A span that is not sampled does not exist: no processor hears of it."


def sampler_findings(provider: TracerProvider) -> Iterator[Finding]:
    """Which part of all calls has spans."""
    tracers = [tracer.sampler for tracer in list(getattr(provider, "_tracers", {}).values())]
    samplers = [provider.sampler, *tracers]
    bare = [sampler for sampler in samplers if not isinstance(sampler, BillingSampler)]
    if not bare:
        yield well("sampling.sampler", f"everything is billed, sampled or not: {_short(provider.sampler)}")
        return
    if isinstance(provider.sampler, BillingSampler):
        yield warning(
            "sampling.tracers",
            f"{counted(len(bare), 'tracer')} made before the BillingSampler was put in place do not ask it",
            why="Of their spans only those are billed that are sampled.",
            do=("# put PolarInstrumentor in place before the first tracer is made",),
        )
        return
    yield _of(provider.sampler)


def recorded_share(sampler: Sampler) -> float | None:
    """Which part of new traces it records, 0 to 1; ``None`` if it does not tell."""
    if isinstance(sampler, BillingSampler):
        return 1.0
    if isinstance(sampler, ParentBased):
        return recorded_share(_root(sampler))
    if isinstance(sampler, TraceIdRatioBased):
        return sampler.rate
    if isinstance(sampler, StaticSampler):
        return 0.0 if getattr(sampler, "_decision", None) is Decision.DROP else 1.0
    if type(sampler).__name__ == _ALWAYS_RECORDS:
        return 1.0
    # Composed ones tell what they are made of in their description.
    found = _RATIO.search(sampler.get_description())
    return None if found is None else float(found[1])


def _of(sampler: Sampler) -> Finding:
    share = recorded_share(sampler)
    told = _short(sampler)
    if share is None:
        return warning(
            "sampling.sampler",
            f"the sampler {told} does not tell which spans it drops",
            why=_NOT_THERE,
            do=_BILL,
        )
    if share < 1.0:
        return problem(
            "sampling.sampler",
            f"the sampler records {_percent(share)} of all traces ({told}): {_percent(1 - share)} of the model"
            " calls are not billed",
            why=_NOT_THERE,
            do=_BILL,
        )
    if isinstance(sampler, ParentBased) and getattr(sampler, "_remote_parent_not_sampled", None) is ALWAYS_OFF:
        return warning(
            "sampling.parent",
            f"the sampler does as its caller says ({told})",
            why="Any HTTP client can switch billing off for its calls, by a traceparent that says “not sampled”.",
            do=_BILL,
        )
    if type(sampler).__name__ == _ALWAYS_RECORDS:
        return warning(
            "sampling.sampler",
            "the AlwaysRecordSampler of opentelemetry-sdk loses the attributes that a span starts with",
            why="Many emitters set the model and the operation there; without them a call is not known for one.",
            do=_BILL,
        )
    return note("sampling.sampler", f"everything is recorded: {told}")


def _short(sampler: Sampler) -> str:
    """What it is; of one that goes by its parent, what decides where there is none."""
    if isinstance(sampler, BillingSampler):
        return f"BillingSampler over {_short(sampler.root)}"
    if isinstance(sampler, ParentBased):
        return f"as the parent, else {_short(_root(sampler))}"
    return sampler.get_description()


def _root(sampler: Any) -> Sampler:
    root: Sampler = sampler._root  # noqa: SLF001 - there is no public way
    return root


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"
