"""Prepaid credits: a call is only made if its customer's credits cover what it may cost, also when two come at once.

Needs POLAR_ACCESS_TOKEN with the scopes ``customers:write``, ``meters:write``, ``products:write``, ``benefits:write``,
``subscriptions:write``, ``customers:read`` and ``meters:read``, and OPENAI_API_KEY; POLAR_BASE_URL may name a local
Polar. Makes a customer with a hundredth of a dollar, has two calls made in parallel that may cost two thirds of that
each, of which one is refused, and prints what became of them and what is left.
"""

import os
import threading

from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider
from polar.v2026_10 import Polar

from otel_polar import InsufficientCredits, PolarInstrumentor, bill_to, ensure_customer
from otel_polar.credits import CreditGuard

USER = "prepaid_user"
NANOS = 1_000_000_000  # billionths of a dollar, in which cost_nanos is counted
MODEL = "gpt-4o-mini"
METER = "Prepaid cost"


def sell_credits() -> None:
    """Once: a meter over what calls cost, and a free product with a hundredth of a dollar of it."""
    if ensure_customer(USER, email="prepaid@example.com").how == "there already":
        return
    with Polar(os.environ["POLAR_ACCESS_TOKEN"], base_url=os.environ.get("POLAR_BASE_URL")) as polar:
        meter = polar.meters.create(
            name=METER,
            filter={"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]},
            aggregation={"func": "sum", "property": "cost_nanos"},
        )
        credit = polar.benefits.create(
            type="meter_credit",
            description="A cent of LLM calls",
            properties={"units": NANOS // 100, "rollover": False, "meter_id": meter.id},
        )
        plan = polar.products.create(
            name="Trial", recurring_interval="month", prices=[{"amount_type": "fixed", "price_amount": 0}]
        )
        polar.products.update_benefits(plan.id, benefits=[credit.id])
        polar.subscriptions.create(product_id=plan.id, external_customer_id=USER)


def ask(guard: CreditGuard) -> None:
    """One call, if it is covered."""
    # What it may cost at most: 1 000 tokens in, 10 000 out.
    estimate = guard.estimate_cost(f"openai/{MODEL}", 1_000, 10_000)
    try:
        with guard.require(USER, estimate), bill_to(USER):
            both_are_here.wait()  # so that the two are really made at the same time
            OpenAI().chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "What is a usage event?"}]
            )
            print("answered")
    except InsufficientCredits as error:
        both_are_here.wait()
        print("refused:", error.reason)


sell_credits()
provider = TracerProvider()
PolarInstrumentor().instrument(tracer_provider=provider)
guard = CreditGuard(METER)
both_are_here = threading.Barrier(2)
calls = [threading.Thread(target=ask, args=(guard,)) for _ in range(2)]
for call in calls:
    call.start()
for call in calls:
    call.join()

balance = guard.balance(USER)
print("left:", balance.available, "of", balance.credited, "of which not counted yet:", balance.pending)
guard.close()
