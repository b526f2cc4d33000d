"""What the tests of the check-up share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.checkup.finding import Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_polar.checkup.finding import Finding


def told(findings: Iterable[Finding]) -> dict[str, str]:
    """The level of each check; of several findings of one check the last."""
    return {finding.check: finding.level.value for finding in findings}


def wrong(findings: Iterable[Finding]) -> dict[str, str]:
    """Warnings, problems and what is unknown: what each says."""
    return {each.check: each.what for each in findings if each.level not in {Level.WELL, Level.NOTE}}
