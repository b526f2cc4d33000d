"""``python -m otel_polar`` is the ``otel-polar`` command."""

from otel_polar.cli import main

main()
