"""A fitted field in the formats of others, one module per format."""
