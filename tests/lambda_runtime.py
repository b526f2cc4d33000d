"""Invokes ``handler`` of examples/aws_lambda.py as AWS Lambda's runtime does, once for each line of its input.

A line is how long the function may take, in milliseconds. What it answers is a line of the output.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field

from examples.aws_lambda import handler


@dataclass
class Context:
    """An invocation that ends in time."""

    timeout_ms: int
    aws_request_id: str
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """As the runtime's own."""
        return int(self.timeout_ms - 1_000 * (time.monotonic() - self.began))


def main() -> None:
    """Until there is no more to do."""
    event = {
        "requestContext": {"authorizer": {"jwt": {"claims": {"sub": "user_42"}}}},
        "body": "What is a usage event?",
    }
    for number, line in enumerate(sys.stdin):
        context = Context(int(line), f"request-{number}")
        answer = handler(event, context)
        sys.stdout.write(json.dumps({**answer, "left_ms": context.get_remaining_time_in_millis()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
