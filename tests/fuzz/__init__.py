"""Damaged inputs of every kind that nint reads: each is read, or refused in one line.

``python -m tests.fuzz --help`` says how to run more of them than the suite does.
"""
