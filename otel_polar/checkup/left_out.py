"""Sections that were asked for by name and cannot be looked at as asked: to be silent about them would look well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.checkup.finding import Finding, unknown
from otel_polar.checkup.sections import INSIDE, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.checkup.walk import Asked

SETUP_DO: Final = (
    "otel-polar doctor --app MODULE:FUNCTION    # a function that sets up, and returns its tracer provider",
    "opentelemetry-instrument otel-polar doctor    # where that sets the application up",
)


def left_out_findings(asked: Asked, *, is_inside: bool) -> Iterator[Finding]:
    """Each section that is named in *asked* and needs something that is not there.

    Args:
        asked: what the user has asked for; without sections nothing is left out, for each has what it has.
        is_inside: there is an application to look at.
    """
    do: tuple[str, ...]
    for section in (each for each in SECTIONS if each in asked.sections):
        if section in INSIDE and not is_inside:
            what, do = "it can be seen from inside an application only", SETUP_DO
        elif section == "customers" and asked.customer is None:
            what, do = "no customer is named (--customer)", ("otel-polar doctor --only customers --customer USER",)
        elif section == "trial" and not asked.sends_test:
            what, do = "no test event was asked for (--send-test)", ("otel-polar doctor --only trial --send-test",)
        else:
            continue
        yield unknown(f"{section}.left_out", f"nothing was looked at: {what}", do=do)
