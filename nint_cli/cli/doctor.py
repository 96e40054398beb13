"""``nint doctor``: what nint runs on here, and whether it works."""

from typing import Annotated

import typer

from nint_cli.cli import console

_OF_A_RUN = {
    "device",
    "device_name",
    "products",
    "step_block",
    "sweep_block",
}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show versions, devices and threads, and run a self-test of about two seconds."""
    import os

    import torch

    from nint_cli.runs import environment

    console.note("testing ...")
    faults = environment.self_test()
    devices = ["cpu"]
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]
    facts: dict[str, object] = {
        **environment.describe(torch.device("cpu")).model_dump(exclude=_OF_A_RUN),
        "cores": os.cpu_count(),
        "devices": devices,
        "cuda_built": torch.backends.cuda.is_built(),
        "packages": environment.package_versions(),
        "extras": environment.extra_versions(),
        "self_test": faults or "passed",
    }
    if json:
        import json as codec

        console.result(codec.dumps(facts, indent=2))
    else:
        for name, fact in facts.items():
            text = ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
            if isinstance(fact, dict):
                text = ", ".join(f"{key} {value}" for key, value in fact.items())
            console.result(f"{name}: {console.printable(text)}")
    for fault in faults:
        console.error(f"self-test: {fault}")
    return 1 if faults else 0
