"""The lines to copy: every OpenAI call inside ``bill_to`` becomes one usage event on Polar.

Needs ``pip install . openai`` in a clone, and POLAR_ACCESS_TOKEN and OPENAI_API_KEY in the environment. Without
accounts, give it the local servers of "Develop and test without an account" in the README. Prints the model's answer.
"""

from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarInstrumentor, bill_to

provider = TracerProvider()  # the one you have already
PolarInstrumentor().instrument(tracer_provider=provider)

with bill_to("user_42", plan="pro"):
    answer = OpenAI().chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "What is a usage event?"}],
    )
print(answer.choices[0].message.content)
