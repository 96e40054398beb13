"""A fitted field as a small file: weights as integers of a few bits, in nint's own container."""
