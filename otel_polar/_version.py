"""The version, in one place: read by hatchling when building and by the package at run time."""

__version__ = "0.1.0"
