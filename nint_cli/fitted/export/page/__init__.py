"""The page of a fitted field: templates, styles, scripts and shaders, and what is put into them."""
