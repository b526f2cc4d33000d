"""Look at calls that nobody pays for, say who does, and see them billed, while the application runs.

Run it: python examples/look_and_repair.py   (offline: it starts a sandbox and a local OpenAI of its own)

It makes two calls outside of any ``bill_to``, so they are held, and types for you:

    otel-polar status                                             what is held, and why
    otel-polar outbox assign alice --reason 'no customer' --yes   alice pays
    otel-polar outbox list                                        they are sent
"""

import os
import subprocess
import sys
import tempfile

from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarInstrumentor
from otel_polar.sandbox import SandboxServer
from otel_polar.sandbox.openai_api import OpenAIServer


def main() -> None:
    """Call, look, repair."""
    with SandboxServer() as polar, OpenAIServer() as vendor, tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "POLAR_ACCESS_TOKEN": "polar_oat_example",
            "POLAR_BASE_URL": polar.url,
            "OTEL_POLAR_OUTBOX_DIR": folder,
            "OTEL_POLAR_GATEWAYS": "127.0.0.1",  # the local OpenAI passes calls on, as far as prices go
        }
        provider = TracerProvider()
        PolarInstrumentor().instrument(tracer_provider=provider)
        client = OpenAI(base_url=vendor.base_url, api_key="sk-local")
        for question in ("What is a usage event?", "Who pays for it?"):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
        provider.force_flush()

        for words in (
            ["status"],
            ["outbox", "assign", "alice", "--reason", "no customer", "--yes"],
            ["outbox", "list"],
        ):
            print("$ otel-polar", *words, flush=True)
            # status ends with 1 as long as a person is needed.
            subprocess.run([sys.executable, "-m", "otel_polar", *words], check=False)  # noqa: S603 - our own words
        provider.force_flush()
        print("Polar has", len(polar.events()), "events of", {each["external_customer_id"] for each in polar.events()})
        provider.shutdown()


if __name__ == "__main__":
    main()
