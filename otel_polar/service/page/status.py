"""``/status.json``: what the page shows, as one object.

Times are Unix seconds. Sums of money are whole billionths of a dollar as text: they may be larger than the integers
that JavaScript can tell apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_polar._version import __version__
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.advice import what_to_do
from otel_polar.service.page.attention import Attention, what_needs_attention
from otel_polar.service.page.shown import shown_name, shown_text

if TYPE_CHECKING:
    from otel_polar.service.page.log_lines import LogLines
    from otel_polar.service.page.rates import Rate
    from otel_polar.service.page.source import Source
    from otel_polar.service.page.sums import Chart, Series, Sum
    from otel_polar.service.page.watcher import Watcher

MAX_HELD_SHOWN: Final = 100
MAX_COUNTERS_SHOWN: Final = 100


def build_status(source: Source, watcher: Watcher, lines: LogLines, *, started_at: float) -> dict[str, Any]:
    """Everything that is known at this moment, from memory."""
    now = source.clock()
    backlog = _backlog(source, watcher)
    polar = _polar(source)
    attention = what_needs_attention(
        Attention(
            why_not_ready=source.why_not_ready(),
            polar_trouble=polar["trouble"] if polar["state"] == "fails" else None,
            waiting=backlog["waiting"],
            oldest_age_s=backlog["oldest_age_s"],
            sizes=backlog["states"],
            in_memory=backlog["in_memory"],
            lost=source.telemetry.tally.lost,
        ),
    )
    return {
        "version": __version__,
        "server": source.settings.server,
        "at": now,
        "started_at": started_at,
        "attention": attention,
        "backlog": backlog,
        "rates": {"over_s": watcher.remembered_s(), "calls": _rates(watcher.call_rates())},
        "receivers": _rates(watcher.counter_rates()),
        "polar": polar,
        "held": _held(watcher),
        "ends": _ends(source),
        "log": _log(lines),
        "spend": _spend(watcher),
    }


def _backlog(source: Source, watcher: Watcher) -> dict[str, Any]:
    recorded = source.telemetry.tally.recorded
    backlog, look = watcher.backlog, watcher.backlog.last
    sizes = backlog.sizes(recorded)
    age_s = backlog.oldest_age_s(recorded, source.monotonic())
    return {
        "waiting": sizes[State.RECORDED] + sizes[State.READY] if sizes else None,
        "oldest_age_s": age_s,
        "bytes_on_disk": None if look is None else look.bytes_on_disk,
        "in_memory": watcher.in_memory,
        "states": {state.value: count for state, count in sizes.items()},
    }


def _rates(rates: dict[str, Rate]) -> list[dict[str, Any]]:
    return [
        {
            "name": shown_name(name),
            "total": rate.total,
            "per_minute": round(rate.recent, 1),
            "per_minute_longer": round(rate.longer, 1),
        }
        for name, rate in list(rates.items())[:MAX_COUNTERS_SHOWN]
    ]


def _polar(source: Source) -> dict[str, Any]:
    answers = source.telemetry.polar
    trouble, success_at = answers.last_trouble, answers.last_success_at
    if trouble is not None and not trouble.is_over:
        state = "fails"
    else:
        state = "answers" if success_at is not None else "unknown"
    return {
        "state": state,
        "last_success_at": success_at,
        "trouble_at": None if trouble is None else trouble.at,
        "trouble": None if trouble is None else shown_text(trouble.text),
        "in_flight": source.telemetry.tally.in_flight,
    }


def _held(watcher: Watcher) -> list[dict[str, Any]]:
    return [
        {
            "state": each.state.value,
            "reason": each.reason,
            "count": each.calls,
            "what_to_do": what_to_do(each.state, each.reason),
            "examples": [{"text": text, "count": count} for text, count in each.examples],
        }
        for each in watcher.held.reasons[:MAX_HELD_SHOWN]
    ]


def _ends(source: Source) -> list[dict[str, Any]]:
    ends = source.telemetry.tally.ends()
    return [
        {"outcome": end, "reason": None if reason is None else shown_text(reason, limit=200), "count": count}
        for (end, reason), count in sorted(ends.items(), key=lambda item: -item[1])
        if count
    ]


def _log(lines: LogLines) -> list[dict[str, Any]]:
    return [
        {
            "level": line.level.lower(),
            "text": shown_text(line.text),
            "count": line.count,
            "first_at": line.first_at,
            "last_at": line.last_at,
        }
        for line in lines.last()
    ]


def _spend(watcher: Watcher) -> dict[str, Any]:
    view = watcher.spend.view()
    return {
        "is_complete": view.is_complete,
        "is_partial": view.is_partial,
        "counted": view.counted,
        "places": view.places,
        "unreadable": view.unreadable,
        "starts": view.starts,
        "charts": {
            by: {scale: _chart(view.charts[by, scale]) for scale in ("hours", "days")} for by in ("customers", "models")
        },
    }


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "total": _sum(chart.total),
        "others": chart.others,
        "series": [_series(series) for series in chart.series],
    }


def _series(series: Series) -> dict[str, Any]:
    kind, name = (None, None) if series.name is None else series.name
    return {
        "kind": kind,
        "name": None if name is None else shown_name(name),
        "nanos": [str(nanos) for nanos in series.nanos],
        "total": _sum(series.total),
    }


def _sum(total: Sum) -> dict[str, Any]:
    return {"nanos": str(total.nanos), "events": total.events, "unpriced": total.unpriced}
