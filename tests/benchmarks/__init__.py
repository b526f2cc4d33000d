"""Ratios measured inside one run, because the machines they run on are noisy.

``python -m tests.benchmarks`` prints them all. Nothing is asserted: a figure is for a person to read, and the README
quotes them with how they were measured.
"""
