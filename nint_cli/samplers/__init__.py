"""Samplers: which coordinates train next, one file per method."""
