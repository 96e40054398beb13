"""A field as a program of `torch.export`, which PyTorch opens without nint."""

import io
from typing import Any

import torch
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram

from nint_cli.fitted.description import describe
from nint_cli.fitted.export.agreement import coords_type, refuse_different
from nint_cli.fitted.export.format import Note
from nint_cli.fitted.fitted import Fitted

DESCRIPTION = "nint.field"
"""Name of the description among the program's extra files."""

# What tells where in nint's code an operator is from: folders of this machine among it.
_ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def encode(fitted: Fitted, note: Note) -> bytes:
    """Return a program from coords (N, D) to values (N, C), N free, checked as it reads back.

    Args:
        fitted: The field.
        note: Told where coords are to be in float64.

    Returns:
        The content of the file; an OutputError is raised if its values are not the field's.
    """
    dtype = coords_type(fitted.signal)
    if dtype == torch.float64:
        note("coords are float64 in this program: float32 does not tell the signal's points apart")
    example = torch.zeros(2, fitted.field.coord_dim, dtype=dtype)
    with torch.no_grad():
        program = torch.export.export(
            fitted.field, (example,), dynamic_shapes=({0: Dim("points")},)
        )
    _forget_origins(program)
    about = describe(fitted.config, fitted.signal, fitted.step).model_dump_json()
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={DESCRIPTION: about})
    content = file.getvalue()
    read_back = torch.export.load(io.BytesIO(content)).module()

    @torch.no_grad()
    def found(coords: NDArray[Any]) -> NDArray[Any]:
        values: NDArray[Any] = read_back(torch.from_numpy(coords)).numpy()
        return values

    refuse_different("program", found, fitted)
    return content


def _forget_origins(program: ExportedProgram) -> None:
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _ORIGINS:
                    node.meta.pop(key, None)
