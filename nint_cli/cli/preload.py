"""What multiprocessing's fork server loads before its first fit; no code imports this.

It computes nothing, so that a fit finds no threads and no device in use.
"""

import gc
import os
from importlib import import_module

for _name in ("nint_cli.cli.fit", "nint_cli.runs.request"):
    import_module(_name)
_void = os.open(os.devnull, os.O_WRONLY)
for _number in (1, 2):  # or who reads what nint prints would wait for the server to end, too
    os.dup2(_void, _number)
os.close(_void)
gc.collect()
gc.freeze()  # pages that no collection writes to stay shared
