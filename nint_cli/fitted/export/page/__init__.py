"""The page of a fitted field: template, style, scripts, shaders, and what is put into them."""
