"""``otel-polar doctor``: what keeps people from being billed, and what to type."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from otel_polar.checkup.finding import LEVEL_WIDTH, Level, Report, lines_of
from otel_polar.checkup.sections import DEFAULT_WAIT_S, SECTIONS
from otel_polar.cli.output import Ending, end, print_json, working
from otel_polar.cli.tables import console_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_polar.checkup.finding import Finding
    from otel_polar.checkup.walk import Asked

_STYLES: Final = {
    Level.WELL: "green",
    Level.NOTE: "dim",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNKNOWN: "magenta",
}
_DEFAULT_APP_TIMEOUT_S: Final = 60.0


def doctor(
    *,
    app: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="MODULE:FUNCTION",
            help="Your application's set-up: it is called in a process of its own, and its tracer provider looked at.",
        ),
    ] = None,
    app_timeout_s: Annotated[
        float, typer.Option("--app-timeout", min=0.1, metavar="SECONDS", help="How long that may take.")
    ] = _DEFAULT_APP_TIMEOUT_S,
    customer: Annotated[
        str | None, typer.Option(metavar="USER", help="Your id of a user, to be looked for among Polar's customers.")
    ] = None,
    send_test: Annotated[
        bool, typer.Option("--send-test", help="Send one event that no meter counts, and wait until Polar lists it.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0.0, metavar="SECONDS", help="How long to wait for that.")
    ] = DEFAULT_WAIT_S,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION",
            help=f"Only this section, or several: {', '.join(SECTIONS)}.",
            autocompletion=lambda: list(SECTIONS),
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 after warnings, too.")] = False,
    production_url: Annotated[
        str | None, typer.Option(hidden=True, help="Where Polar's production server is, for tests.")
    ] = None,
    sandbox_url: Annotated[
        str | None, typer.Option(hidden=True, help="Where Polar's sandbox server is, for tests.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Look for everything that is known to keep people from being billed: what is wrong, why it matters, what to type.

    It reads the settings in the environment, asks Polar about the token, its scopes, the clock and the meters, reads
    the outbox beside the application, and looks at what is installed. With --app it also looks at what your application
    has set up: provider, processor, sampler, propagators, instrumentations. That does what your application does when
    it starts. Under `opentelemetry-instrument` the same is seen without --app, and `otel_polar.doctor()` does it from
    inside. Nothing is changed or sent, but for the event of --send-test.

    Ends with 0 if there is no problem, 1 if there is one (with --strict also after a warning), 3 if there is none but
    something could not be looked at.

    Example: `otel-polar doctor`

    Example: `otel-polar doctor --app my_app:set_up --customer user_42 --send-test`

    Example: `otel-polar doctor --json | jq '.findings[] | select(.level == "problem")'`
    """
    sections = frozenset(only or ())
    if strange := sections - set(SECTIONS):
        raise typer.BadParameter(f"there is no section {min(strange)!r}", param_hint="--only")
    from otel_polar.checkup.walk import Asked  # noqa: PLC0415 - half a second for polar-sdk, and not for --help
    from otel_polar.polar_api.client import SERVERS  # noqa: PLC0415 - as above

    told = {"production": production_url, "sandbox": sandbox_url}
    asked = Asked(
        environ=os.environ,
        sections=sections,
        customer=customer,
        sends_test=send_test,
        wait_s=wait_s,
        addresses={server: told[server] or address for server, address in SERVERS.items()},
    )
    looked = _look(asked, app, app_timeout_s)
    report = Report(tuple(_quietly(looked) if as_json else _aloud(looked)))
    if as_json:
        counts = {f"{level.value}_count": report.count(level) for level in Level}
        print_json({"is_well": report.is_well, **counts, "findings": [each.as_json() for each in report.findings]})
    else:
        typer.echo(f"\n{report.summary}")
    end(_ending(report, strict=strict))


def _look(asked: Asked, app: str | None, app_timeout_s: float) -> Iterator[Finding]:
    from otel_polar.checkup.left_out import left_out_findings  # noqa: PLC0415 - as above
    from otel_polar.checkup.walk import walk  # noqa: PLC0415 - as above

    if app is None:
        asked = _with_provider(asked)
        yield from left_out_findings(asked, is_inside=asked.provider is not None)
        yield from walk(asked)
        return
    from otel_polar.checkup import inside  # noqa: PLC0415 - the SDK, which nothing else needs

    wanted = frozenset(asked.sections or SECTIONS)
    outside = wanted - inside.SECTIONS
    yield from left_out_findings(asked, is_inside=True)
    if outside:
        yield from walk(replace(asked, sections=outside))
    # That nothing could be looked at is to be known, whatever was asked for.
    for each in inside.look_inside(app, app_timeout_s):
        if each.section in wanted or each.check == inside.SETUP_CHECK:
            yield each


def _with_provider(asked: Asked) -> Asked:
    """Under ``opentelemetry-instrument`` this very process is set up as an application would be."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - a tenth of a second, and not for --help

    from otel_polar.checkup.application import provider_in_use  # noqa: PLC0415 - as above
    from otel_polar.checkup.doctor import asked_of  # noqa: PLC0415 - as above

    provider = provider_in_use()
    if not isinstance(provider, TracerProvider):
        return asked
    inside = asked_of(provider)
    return replace(asked, settings=inside.settings, provider=provider, own=inside.own)


def _quietly(findings: Iterable[Finding]) -> Iterator[Finding]:
    with working("Looking") as advance:
        for finding in findings:
            advance(1, description=finding.section)
            yield finding


def _aloud(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Show each finding as it comes."""
    from rich.text import Text  # noqa: PLC0415 - a twentieth of a second, and not for --json

    console = console_for(soft_wrap=True)
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            console.print(Text(section.capitalize(), style="bold"))
        first, *others = lines_of(finding)
        line = Text(f"  {first}")
        line.stylize(_STYLES[finding.level], 2, 2 + LEVEL_WIDTH)
        console.print(line)
        for other in others:
            console.print(Text(f"  {other}"))
        yield finding


def _ending(report: Report, *, strict: bool) -> Ending:
    if report.count(Level.PROBLEM) or (strict and report.count(Level.WARNING)):
        return Ending.WRONG
    return Ending.IMPOSSIBLE if report.count(Level.UNKNOWN) else Ending.WELL
