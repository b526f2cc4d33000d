"""The balance guard: whether a customer's credits cover a call, before it is made.

::

    from otel_polar.credits import CreditGuard, InsufficientCredits

    guard = CreditGuard("LLM cost")  # the meter's name or id on Polar
    try:
        with guard.require("user_42", guard.estimate_cost("openai/gpt-4o-mini", 800, 500)):
            client.chat.completions.create(...)
    except InsufficientCredits:
        ...  # offer more credits

Importing this takes half a second, for SQLite and the client of Polar's API; ``import otel_polar`` does not do it.

::

    guard.py      what is asked, and what is decided      figures.py    what a customer has left
    engine.py     who is asked, and in which order        metering.py   what a meter counts of an event
    store.py      what processes share                    outboxes.py   what this machine has not sent yet
    lookups.py    Polar, within its budget                foresight.py  which events recorded calls will be
    keeper.py     the thread that keeps it all young      items.py      what an event counts, and for whom
    decisions.py  decisions and reservations              sums.py       how much each customer has used
    default.py    a guard from the environment            estimate.py   what a call is going to cost
    process.py    who made a reservation                  later.py      for asynchronous code
    payer.py      whose event it is
"""

from otel_polar.credits.decisions import Decision, Reservation
from otel_polar.credits.default import arequire, balance, default_guard, require, use
from otel_polar.credits.estimate import estimate_cost
from otel_polar.credits.figures import Balance
from otel_polar.credits.guard import CreditGuard
from otel_polar.errors import InsufficientCredits

__all__ = [
    "Balance",
    "CreditGuard",
    "Decision",
    "InsufficientCredits",
    "Reservation",
    "arequire",
    "balance",
    "default_guard",
    "estimate_cost",
    "require",
    "use",
]
