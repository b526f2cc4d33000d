"""Once, before the first call: a customer in Polar for each of your users, and meters over their usage.

Needs POLAR_ACCESS_TOKEN with the scopes ``customers:write`` and ``meters:write``; POLAR_SERVER is ``sandbox`` or
``production``, and POLAR_BASE_URL may name a local Polar. Prints the ids of what it made.
"""

import os

from polar.v2026_10 import Polar

with Polar(
    os.environ["POLAR_ACCESS_TOKEN"],
    environment="production" if os.environ.get("POLAR_SERVER") == "production" else "sandbox",
    base_url=os.environ.get("POLAR_BASE_URL"),
) as polar:
    customer = polar.customers.create(email="alice@example.com", external_id="user_42")  # the id you give bill_to
    print("customer", customer.id)

    for name, key in (("LLM tokens", "total_tokens"), ("LLM cost in billionths of a dollar", "cost_nanos")):
        meter = polar.meters.create(
            name=name,
            filter={"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]},
            aggregation={"func": "sum", "property": key},
        )
        print("meter", meter.id)
