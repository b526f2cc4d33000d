"""The ``otel-polar`` command.

::

    app.py             the command and its options; one file or folder per group of commands beside it
    output.py          how every command speaks and ends
    tables.py          tables, in terminals of any width
    words.py           numbers in sentences
    times.py           times as they are typed
    printable.py       text of others, fit for a terminal
    directory.py       the outbox directory of the settings
    prices.py          the prices of the settings
    extras.py          what is not installed
    doctor.py          otel-polar doctor
    setup.py           otel-polar setup
    customers.py       otel-polar customers
    serve.py           otel-polar serve
    status.py          otel-polar status
    outbox/            otel-polar outbox
    sandbox.py         otel-polar sandbox
    demo.py            otel-polar demo: what is shown
    demo_scenario.py   otel-polar demo: what is done and checked
    replay.py          otel-polar replay: what is done
    replay_report.py   otel-polar replay: what is said
    reconcile/         otel-polar reconcile
    explain.py         otel-polar explain
    price.py           otel-polar price
"""

import os
import sys
from contextlib import suppress
from typing import TextIO

# As in cli.output.Ending, which needs libraries that may be missing here.
IMPOSSIBLE = 3
INTERRUPTED = 130
UNREAD = 141


def main() -> None:
    """Run the command; without its libraries, say how to install them."""
    try:
        from otel_polar.cli.app import app  # noqa: PLC0415 - the libraries may be missing
    except ModuleNotFoundError as error:
        sys.exit(f"otel-polar needs {error.name!r}: pip install 'otel-polar[cli]', or '.[cli]' in a clone")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    try:
        app()
    except OSError as error:
        # Of what it says, as a rule: commands tell themselves what else they cannot do.
        _write_no_more(sys.stdout)
        sys.exit(_impossible(error))
    finally:
        _finish_writing()


def _finish_writing() -> None:
    """Write what is left; if nobody reads it any more, or it cannot be written, that is how the command ends."""
    if sys.stdout is None:
        # It was started without one.
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more(sys.stdout)
        sys.exit(UNREAD)
    except OSError as error:
        _write_no_more(sys.stdout)
        sys.exit(_impossible(error))


def _impossible(error: OSError) -> int:
    # It may be on the same full disk, or not be there: the number is said all the same.
    if sys.stderr is not None:
        try:
            sys.stderr.write(f"otel-polar: {error}\n")
            sys.stderr.flush()
        except OSError:
            _write_no_more(sys.stderr)
    return IMPOSSIBLE


def _write_no_more(stream: TextIO | None) -> None:
    # What is written at the very end would fail again, with words.
    if stream is not None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
