"""How the arithmetic of a fit is done."""

from typing import Literal

from pydantic import Field

from nint_cli.config.section import Section

PrecisionName = Literal["auto", "full", "tf32", "bf16"]


class EngineConfig(Section):
    """How fast, and how exactly, a fit computes; never what it computes."""

    threads: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="threads of a CPU; null: PyTorch's own number (OMP_NUM_THREADS), but no more "
        "than this process may use",
    )
    blocks: Literal["usual", "measured"] = Field(
        "usual",
        description="coordinates at once: usual, by width and device; or measured, the fastest of "
        "some on this machine, found out once in seconds and remembered in ~/.cache/nint",
    )
    precision: PrecisionName = Field(
        "full",
        description="matrix products of training: full; tf32, on CUDA only; bf16, in wide layers "
        "and, but for finer, their activations, with all else in float32; or auto: bf16 on a CPU "
        "that has instructions for it, else full",
    )
    compile: Literal["never", "auto", "always"] = Field(
        "never",
        description="compile the passes of training by torch.compile, which takes seconds and a "
        "C++ compiler: never; always; or auto, where it pays: on a CPU by siren, finer and gauss "
        "with a time budget of five minutes or more. Where it cannot be, the run goes on without",
    )
    graphs: bool = Field(
        False,
        description="record the gradient of a step as a CUDA graph, and launch that; CUDA only, "
        "and so far never run on a GPU",
    )
