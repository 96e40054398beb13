"""Metrics: pure functions that say their value range."""
