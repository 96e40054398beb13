"""Comparisons: which runs they need, what is read off them, and the report."""
