"""The formats of `nint export` by name: the one place that lists them.

Nothing heavy is loaded before it is asked for, so that the command line can name them at once.
"""

from collections.abc import Mapping

from nint_cli.fitted.export.format import Format

FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format(
            name="safetensors",
            suffix=".safetensors",
            summary="the field alone, which nint opens again",
            module="safetensors",
            reopens=True,
        ),
        Format(
            name="onnx",
            suffix=".onnx",
            summary="a model for ONNX Runtime and what else runs ONNX",
            module="onnx",
        ),
        Format(
            name="torch",
            suffix=".pt2",
            summary="a program that torch.export.load opens without nint",
            module="torch",
        ),
        Format(
            name="numpy",
            suffix="-numpy",
            summary="a folder with arrays and a script that needs NumPy only",
            module="numpy",
            folder=("field.npz", "decode.py"),
        ),
        Format(
            name="html",
            suffix=".html",
            summary="a page that computes the field in a browser",
            module="html",
        ),
    )
}
