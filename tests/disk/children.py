"""A child process that records calls until the disk is full, and waits to be killed.

Run as ``python -m tests.disk.children <base_url> <outbox_dir>``. Prints how many calls were on disk by then.
"""

from __future__ import annotations

import logging
import signal
import sys

from tests.delivery.children import make_calls, make_provider, say
from tests.disk.support import storage_of

if __name__ == "__main__":
    logging.disable()
    provider, processor = make_provider(sys.argv[1], sys.argv[2], settle_s=3_600)
    calls = 0
    while not storage_of(processor).waiting_in_memory():
        make_calls(provider, 1)
        calls += 1
    say(str(calls - 1))
    signal.pause()
