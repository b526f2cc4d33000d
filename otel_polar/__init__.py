"""Turn the LLM spans an application already emits into usage events on Polar."""

from otel_polar._version import __version__

__all__ = ["__version__"]
