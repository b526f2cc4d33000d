"""Tests of otel_polar.reconciliation."""
