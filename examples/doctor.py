"""What keeps people from being billed, asked from inside the application that bills.

Needs ``pip install . openai`` in a clone, and POLAR_ACCESS_TOKEN in the environment. Without an account, give it the
local server of "Develop and test without an account" in the README. It sets the application up as it is, and prints
what ``otel_polar.doctor()`` finds: with a local Polar, that nobody has created the customer and a meter yet. Ends with
1 if there is a problem, so it can be the last step of a deployment.
"""

import sys

from opentelemetry.sdk.trace import TracerProvider

import otel_polar
from otel_polar import PolarInstrumentor

provider = TracerProvider()  # the one you have already
PolarInstrumentor().instrument(tracer_provider=provider)

report = otel_polar.doctor(customer="user_42")
print(report)
sys.exit(0 if report.is_well else 1)
