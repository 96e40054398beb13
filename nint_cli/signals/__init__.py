"""Signals: what a field is fitted to, as coordinates and values."""
