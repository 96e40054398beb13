"""report.html: one file that needs nothing else, no network and no script to be read."""

from nint_cli.comparison.page.document import render

__all__ = ["render"]
