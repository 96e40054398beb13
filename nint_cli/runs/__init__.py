"""A run on disk: build, fit, resume, evaluate, and what its folder holds."""
