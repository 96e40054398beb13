"""What is measured of a run: the schema of metrics.json, and its figures as text."""
