"""Compiled loops for a CPU, by Numba: what PyTorch does in several passes over memory, in one.

They are loaded when a field is first computed, and cached on the disk. Where Numba cannot be
loaded, PyTorch does the same, within rounding.
"""
