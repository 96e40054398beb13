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
    precision: PrecisionName = Field(
        "full",
        description="matrix products of training: full; tf32, on CUDA only; bf16, in wide layers "
        "and, but for finer, their activations, with all else in float32; or auto: bf16 on a CPU "
        "that has instructions for it, else full",
    )
