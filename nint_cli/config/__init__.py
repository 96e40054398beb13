"""What a run is configured by: the schema, its YAML form, and how layers of settings combine."""
