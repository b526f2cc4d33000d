"""Whose spans there are: what is installed, what of it is active, and what each is known to leave out."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from otel_polar.capture.instrumentor import PolarInstrumentor
from otel_polar.checkup.emitters import EMITTERS, Emitter
from otel_polar.checkup.finding import Finding, note, problem, warning, well
from otel_polar.checkup.versions import installed_version, read_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_GROUP: Final = "opentelemetry_instrumentor"


@dataclass(frozen=True, slots=True)
class FoundEmitter:
    """One that is installed. ``is_active``: whether it makes spans in this process; ``None`` if nobody can tell."""

    emitter: Emitter
    version: str
    is_active: bool | None


def find_emitters() -> list[FoundEmitter]:
    """Those of the table that are installed."""
    active = _active_distributions()
    found = []
    for emitter in EMITTERS:
        version = installed_version(emitter.distribution)
        if version is None or not _makes_spans(emitter, version):
            continue
        found.append(FoundEmitter(emitter, version, active.get(emitter.distribution)))
    return found


def instrumentation_findings(
    found: Sequence[FoundEmitter], *, hooks_active: bool, has_openai: bool, is_inside: bool
) -> Iterator[Finding]:
    """What makes the spans of model calls here.

    Args:
        found: the emitters that are installed.
        hooks_active: the hooks of the ``openai`` client are in place.
        has_openai: the ``openai`` client is installed.
        is_inside: this is a running application, so what is not active makes no spans.
    """
    if is_inside and has_openai:
        yield _hooks(found, hooks_active=hooks_active)
    elif has_openai and not found:
        yield note(
            "instrumentations.hooks", "the openai client is installed; PolarInstrumentor makes spans of its calls"
        )
    if not found and not has_openai:
        yield warning(
            "instrumentations.none",
            "nothing is installed that is known to make spans of model calls",
            why="Without them nothing is billed, unless your code or a framework makes its own.",
            do=(
                "pip install opentelemetry-instrumentation-openai-v2 'opentelemetry-util-genai<1.2b0'    # or another",
            ),
        )
    for each in found:
        yield _omission(each, hooks_active=hooks_active, is_inside=is_inside)
    yield from _several(found, is_inside=is_inside)


def hooks_are_active() -> bool:
    """Whether the hooks of the ``openai`` client are in place."""
    return PolarInstrumentor()._hooks is not None  # noqa: SLF001 - one class with two sides


def _hooks(found: Sequence[FoundEmitter], *, hooks_active: bool) -> Finding:
    if hooks_active:
        return well("instrumentations.hooks", "the hooks of the openai client are in place")
    makers = [each for each in found if each.emitter.client == "openai" and each.is_active is not False]
    if makers:
        return note(
            "instrumentations.hooks",
            "the hooks of the openai client are not in place",
            why="What its instrumentation leaves out is not billed; see below.",
            do=("PolarInstrumentor().instrument(tracer_provider=provider)",),
        )
    return warning(
        "instrumentations.hooks",
        "the openai client is installed, and nothing makes spans of its calls",
        why="If the application uses it, those calls are not billed.",
        do=("PolarInstrumentor().instrument(tracer_provider=provider)",),
    )


def _omission(found: FoundEmitter, *, hooks_active: bool, is_inside: bool) -> Finding:
    emitter = found.emitter
    name = f"{emitter.distribution} {found.version}"
    if is_inside and found.is_active is False:
        return note(
            "instrumentations.inactive",
            f"{name} is installed, and not active",
            why="It makes no spans.",
            do=("opentelemetry-instrument python app.py    # or its Instrumentor().instrument()",),
        )
    if emitter.hooks_help and hooks_active:
        return well("instrumentations.found", f"{name}; what it leaves out is completed by the hooks")
    if not emitter.has_calls:
        return warning(
            "instrumentations.no_calls",
            f"{name} leaves out {emitter.omits}",
            why="Nothing of what it sees is billed.",
            do=(f"# {emitter.do}",),
        )
    return note(
        "instrumentations.found",
        f"{name} leaves out: {emitter.omits}",
        why=f"Recorded in tests/corpus/{emitter.source}.",
        do=(f"# {emitter.do}",) if emitter.do else (),
    )


def _several(found: Sequence[FoundEmitter], *, is_inside: bool) -> Iterator[Finding]:
    by_client: Mapping[str, list[FoundEmitter]] = defaultdict(list)
    for each in found:
        if each.is_active or (each.is_active is None and each.emitter.since is not None):
            by_client[each.emitter.client].append(each)
    for client, several in by_client.items():
        if len(several) > 1 and is_inside:
            names = " and ".join(each.emitter.distribution for each in several)
            yield warning(
                "instrumentations.double",
                f"{names} each make a span of every call of the {client} client",
                why="otel-polar bills one of them, by ids, token counts and times. One alone leaves no doubt.",
                do=(*(f"# {each.emitter.do}" for each in several if each.emitter.since), "# or take one of them away"),
            )


def _makes_spans(emitter: Emitter, version: str) -> bool:
    found = read_version(version)
    least = read_version(emitter.since)
    return least is None or found is None or found >= least


def _active_distributions() -> dict[str, bool]:
    """Whether the instrumentor of a distribution has been told to instrument."""
    active: dict[str, bool] = {}
    for entry_point in entry_points(group=_GROUP):
        distribution = entry_point.dist
        if distribution is None:
            continue
        instrumentor: Any = getattr(sys.modules.get(entry_point.module), entry_point.attr, None)
        instance = getattr(instrumentor, "_instance", None)
        is_active = bool(getattr(instance, "_is_instrumented_by_opentelemetry", False))
        active[distribution.name] = active.get(distribution.name, False) or is_active
    return active


def import_findings() -> Iterator[Finding]:
    """Instrumentations that are installed and cannot be imported: OpenTelemetry only logs that."""
    for entry_point in entry_points(group=_GROUP):
        if entry_point.dist is None or all(each.distribution != entry_point.dist.name for each in EMITTERS):
            continue
        try:
            entry_point.load()
        except Exception as error:  # noqa: BLE001 - it is the finding
            yield problem(
                "versions.import",
                f"{entry_point.dist.name} {entry_point.dist.version} cannot be imported:"
                f" {type(error).__name__}: {error}",
                why="OpenTelemetry logs that and goes on, so it makes no spans.",
                do=("otel-polar doctor --only versions    # what is known not to go together",),
            )
