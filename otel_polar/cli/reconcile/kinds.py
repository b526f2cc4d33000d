"""What each kind of difference is, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.reconciliation.meeting import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

MEANINGS: Final[Mapping[Verdict, str]] = {
    Verdict.MISSING_THERE: "The ledger has Polar's word that it took this event, and Polar does not list it. If it has"
    " a parent (a run of an agent), the parent may never have come: see whether it waits here with `otel-polar outbox"
    " list`. Otherwise ask Polar, with the external id of `otel-polar outbox show EXTERNAL_ID`; sending an event again"
    " bills nothing twice.",
    Verdict.MISSING_HERE: "Polar has an event that is in no ledger here: of another machine, of another sender, or the"
    " ledger has forgotten it. On the other machine type `otel-polar outbox export -o ledger.jsonl`, and here"
    " `otel-polar reconcile --ledger ledger.jsonl`; where other senders are expected, `--only-ours`.",
    Verdict.DOUBLED_THERE: "Polar has the same event more than once: somebody sent it without its external id, or under"
    " another one. Polar deletes no event: find that sender, and give the customer credit for what was billed twice.",
    Verdict.DIFFERING: "Polar has the event with other values, and whoever comes first wins: it was sent before, by"
    " another process with other prices or options. Compare with `otel-polar outbox show EXTERNAL_ID`.",
    Verdict.UNEXPECTED_THERE: "The ledger says that Polar rejected this event, and Polar has it: somebody else sent it."
    " See `otel-polar outbox show EXTERNAL_ID`, and do not send it again.",
}
"""For people."""


def word(verdict: Verdict) -> str:
    """For programs: ``missing_there``."""
    return verdict.value.replace(" ", "_")
