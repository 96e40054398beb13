"""Functions of the step, and how far a run has come: laws, clock, duration, batch size."""
