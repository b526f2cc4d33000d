"""The ``otel-polar`` command.

::

    app.py             the command and its options; one file per group of commands beside it
    sandbox.py         otel-polar sandbox
    demo.py            otel-polar demo: what is shown
    demo_scenario.py   otel-polar demo: what is done and checked
"""

import sys


def main() -> None:
    """Run the command; without its libraries, say how to install them."""
    try:
        from otel_polar.cli.app import app  # noqa: PLC0415 - the libraries may be missing
    except ModuleNotFoundError as error:
        sys.exit(f"otel-polar needs {error.name!r}: pip install 'otel-polar[cli]', or '.[cli]' in a clone")
    app()
