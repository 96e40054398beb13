"""A fitted field for other programs: one file per format; `table` lists them."""
