"""Fields: coordinate networks that map coords (B, D) to values (B, C)."""
