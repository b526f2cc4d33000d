"""A function on AWS Lambda that sends its usage before it answers, because afterwards it may never run again.

Needs ``pip install --target package . openai`` in a clone, beside this file in the archive; POLAR_ACCESS_TOKEN,
POLAR_SERVER and OPENAI_API_KEY in the function's environment; and an HTTP API with a JWT authorizer in front, which is
where the user comes from. The handler is ``aws_lambda.handler``.

What becomes of a call::

    handler answers, flush was in time           on Polar
    … flush was not (Polar is down or slow)      in /tmp of this sandbox. Its next invocation goes on sending
    the function is killed by its own timeout    the same: AWS starts a new process in the sandbox and leaves /tmp
    AWS throws such a sandbox away               lost. Nobody is told, no exit handler runs, and /tmp goes with it

So an error in the log of `flush` is worth an alarm. It is not raised: the answer was made and paid for, and a failed
invocation may be repeated by AWS or by the caller, which would be another call to the model. Where no call may be lost,
make it on a machine whose disk stays.
"""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

# For the delivery thread, which would import them in the first flush; starting up has its own time and more processor.
import genai_prices  # noqa: F401
import polar.v2026_10  # noqa: F401
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarInstrumentor, bill_to

MAX_FLUSH_MS = 5_000  # how long a Polar that is down may hold up an answer
ANSWER_MS = 500  # left of the function's own timeout for the answer

logger = logging.getLogger("aws_lambda")

provider = TracerProvider()  # the one you have already
PolarInstrumentor().instrument(
    tracer_provider=provider,
    # The only place that can be written: /tmp. A sandbox has one user.
    outbox_dir=os.environ.get("OTEL_POLAR_OUTBOX_DIR", Path(tempfile.gettempdir()) / "otel-polar"),
    # A frozen sandbox wakes with connections that are dead and do not know it: this leaves a flush the time to find
    # that out, and to ask on a new one.
    request_timeout_s=2.0,
)
client = OpenAI()


class Context(Protocol):
    """What Lambda tells of an invocation, as far as it is needed here."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda ends the function."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Answer the question of a user who is logged in."""
    # Verified by the authorizer; never from the body, which the caller chooses.
    user_id = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    try:
        with bill_to(user_id, request_id=context.aws_request_id):
            answer = client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": event["body"]}],
            )
        return {"statusCode": 200, "body": answer.choices[0].message.content}
    finally:
        flush(context)


def flush(context: Context) -> None:
    """Send what this sandbox has, as long as there is time: when the function has answered, its threads stand still."""
    timeout_ms = min(MAX_FLUSH_MS, context.get_remaining_time_in_millis() - ANSWER_MS)
    if not provider.force_flush(max(0, timeout_ms)):
        # otel_polar itself has logged how many.
        logger.error("calls are not on Polar yet, and are lost if this sandbox is not used again")
