"""Pictures of shapes: the field's surface beside the input's, and where the chosen points are.

Legend: N points, all in the box [-1, 1]^3.
"""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.sdf.sphere_tracing import Camera, View, view
from nint_cli.modalities.sdf.surface import Distance, values_at
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_SIZE = 480
_DPI = 100
_HEADER, _FOOTER, _GAP, _CAPTION = 30, 30, 12, 16
_DAY, _NIGHT = 242, 20
_SLICE = 200  # points along each edge, at most
_OUTLINE, _DRAWN = 40_000, 8_000  # points in grey, and in colour
_LEVELS = np.array([level for level in range(-20, 21) if level]) / 10
_CUTS = ((2, 1), (0, 2), (0, 1))  # across each axis: what runs to the right, and what upwards
_INPUT, _FIELD = "#303030", "#d55e00"

_SURFACE = np.array([0.80, 0.81, 0.83], np.float32)
_LIGHTS = (  # direction in the camera's axes, colour
    ((-0.45, 0.65, 0.62), (0.78, 0.76, 0.72)),
    ((0.80, -0.05, 0.35), (0.16, 0.19, 0.26)),
)
_AMBIENT = (0.22, 0.23, 0.25)


def shape_picture(
    field: Distance, true: Distance, *, size: int = _SIZE, camera: Camera | None = None
) -> bytes:
    """Draw a field's surface beside the input's, and a cut through both.

    Args:
        field: The reconstruction, coords (N, 3) -> distances (N,), negative inside.
        true: The input's distance, likewise.
        size: Pixels along each side of a panel.
        camera: From where; None chooses.

    Returns:
        A PNG file with three panels: the reconstruction, the input from the same side, and the
        level lines of both in the plane through the centre that cuts most of the input.
    """
    camera = camera or Camera()
    width, height = 3 * size + 4 * _GAP, size + _HEADER + _FOOTER
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    panels = [
        figure.add_axes((
            (_GAP + column * (size + _GAP)) / width,
            _FOOTER / height,
            size / width,
            size / height,
        ))
        for column in range(3)
    ]
    for axes, title, distance in zip(
        panels, ("reconstruction", "input"), (field, true), strict=False
    ):
        seen = view(distance, camera, size)
        axes.imshow(_shaded(seen, camera), interpolation="none")
        axes.set_title(title if seen.hit.any() else f"{title}: no surface", loc="left")
        axes.axis("off")
    _draw_slice(panels[2], field, true, min(_SLICE, size))
    return _png(figure)


def seen_from(field: Distance, camera: Camera, width: int, height: int) -> Bytes:
    """Return a shaded picture of a field's surface, from the middle of 2 x 2 rays a pixel.

    Args:
        field: Coords (N, 3) -> distances (N,), negative inside.
        camera: From where.
        width: Pixels; the box fits the shorter side.
        height: Pixels.

    Returns:
        (height, width, 3).
    """
    size = min(width, height)
    fine = _shaded(view(field, camera, 2 * size), camera)
    mean = fine.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
    picture = np.full((height, width, 3), _DAY, np.uint8)
    top, left = (height - size) // 2, (width - size) // 2
    picture[top : top + size, left : left + size] = np.round(mean)
    return picture


def selection_picture(
    coords: Floats,
    selections: Mapping[str, Selection],
    steps: Mapping[str, int],
    *,
    near_surface: NDArray[np.bool_] | None = None,
    size: int = _SIZE,
    camera: Camera | None = None,
) -> bytes:
    """Draw the chosen points over the shape's outline, one panel per selection.

    Args:
        coords: (N, 3), the points that could be chosen.
        selections: What was chosen, by panel; indices are rows of `coords`.
        steps: The step of each panel, from 1.
        near_surface: (N,), which points show the shape's outline, in grey; None takes all.
        size: Pixels along each side of a panel.
        camera: From where; None chooses.

    Returns:
        A PNG file: the panels side by side with a caption that counts each slot. What is far from
        the viewer is darker. Of many points, every so many-th is drawn; the caption counts all.
    """
    camera = camera or Camera()
    outline = coords if near_surface is None else coords[near_surface]
    back = np.full((size, size, 3), _NIGHT, np.uint8)
    _draw_points(back, outline[:: -(-len(outline) // _OUTLINE) or 1], (78, 78, 78), camera)
    panels = []
    for name, selection in selections.items():
        panel = back.copy()
        every = max(1, -(-len(selection.indices) // _DRAWN))
        start = 0
        for slot, count in reversed(selection.slots):  # what is rare is drawn last
            start += count
            chosen = selection.indices[len(selection.indices) - start :][:count].cpu().numpy()
            _draw_points(panel, coords[chosen[::every]], all_slots()[slot].colour, camera)
        title = f"step {steps[name]}" + (f", 1 of {every} drawn" if every > 1 else "")
        panels.append(_captioned(panel, title, selection.slots))
    gap = np.zeros((len(panels[0]), _GAP, 3), np.uint8)
    row: list[Bytes] = []
    for one in panels:
        row += [one, gap]
    return encode_picture(np.concatenate(row[:-1], axis=1))


def _shaded(seen: View, camera: Camera) -> Bytes:
    """Light what is seen (S, S, 3)."""
    axes = camera.axes()
    light = np.full((len(seen.normals), 3), _AMBIENT, np.float32)
    for direction, colour in _LIGHTS:
        towards = np.array(direction, np.float32) @ axes
        facing = seen.normals @ (towards / np.linalg.norm(towards))
        light += facing.clip(0)[:, None] * np.array(colour, np.float32)
    picture = np.full((*seen.hit.shape, 3), _DAY, np.uint8)
    picture[seen.hit] = (255 * (light * _SURFACE).clip(0, 1) ** (1 / 1.5)).astype(np.uint8)
    return picture


def _draw_slice(axes: Axes, field: Distance, true: Distance, count: int) -> None:
    """Draw the level lines of both, from count^2 points, where most of the input is cut."""
    areas = [(values_at(true, _plane(axis, min(count, 64))) <= 0).sum() for axis in range(3)]
    cut = max((2, 1, 0), key=lambda axis: areas[axis])  # across z, of equals
    plane, side = _plane(cut, count), np.linspace(-1, 1, count)
    for distance, colour, style in ((true, _INPUT, "solid"), (field, _FIELD, "dashed")):
        values = values_at(distance, plane).reshape(count, count)
        low, high = float(values.min()), float(values.max())
        if distance is true and low < 0:
            axes.contourf(side, side, values, levels=[low - 1, 0], colors=["#dfe6ee"])
        for levels, width in ((_LEVELS, 0.6), (np.zeros(1), 2.0)):
            within = levels[(levels > low) & (levels < high)]
            if len(within):
                axes.contour(
                    side,
                    side,
                    values,
                    levels=within,
                    colors=colour,
                    linewidths=width,
                    linestyles=style,
                )
    across, up = ("xyz"[axis] for axis in _CUTS[cut])
    axes.set_title(f"cut at {'xyz'[cut]} = 0, {across} to the right, {up} upwards", loc="left")
    axes.set_aspect("equal")
    axes.set(xticks=(), yticks=())
    handles = [
        Line2D([], [], color=_INPUT, label="input"),
        Line2D([], [], color=_FIELD, linestyle="dashed", label="reconstruction"),
    ]
    axes.legend(
        handles=handles,
        title=None,
        loc="upper left",
        bbox_to_anchor=(-0.01, -0.01),
        borderaxespad=0,
        ncols=2,
        frameon=False,
    )
    axes.text(
        1, -0.025, "thick: 0, thin: every 0.1", ha="right", va="top", transform=axes.transAxes
    )


def _plane(cut: int, count: int) -> Floats:
    """Give points of the plane where coordinate `cut` is 0, row by row from below."""
    axis = np.linspace(-1, 1, count, dtype=np.float32)
    points = np.zeros((count, count, 3), np.float32)
    across, up = _CUTS[cut]
    points[..., across], points[..., up] = axis, axis[:, None]
    return points.reshape(-1, 3)


def _draw_points(
    picture: Bytes, points: Floats, colour: tuple[int, int, int], camera: Camera
) -> None:
    """Put points into a picture, from back to front and the darker, the farther they are."""
    size = len(picture)
    column, row, near = camera.pixels(points, size).T
    order = np.argsort(near, kind="stable")
    light = (0.7 + 0.3 * near[order] / np.sqrt(3)).clip(0.4, 1)
    colours = (light[:, None] * np.array(colour, np.float32)).astype(np.uint8)
    columns, rows = column[order].astype(np.int64), row[order].astype(np.int64)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = np.stack([rows + down, columns + right])
        seen = ((at >= 0) & (at < size)).all(axis=0)
        picture[tuple(at[:, seen])] = colours[seen]


def _captioned(panel: Bytes, title: str, slots: tuple[tuple[str, int], ...]) -> Bytes:
    """Put the step, and how many points each slot chose, above a panel."""
    image = Image.new("RGB", (panel.shape[1], panel.shape[0] + _CAPTION))
    image.paste(Image.fromarray(panel), (0, _CAPTION))
    draw = ImageDraw.Draw(image)
    draw.text((2, 2), title, fill=(255, 255, 255))
    x = 2 + draw.textlength(title + "   ")
    for slot, count in slots:
        label = f"{slot} {count:,}   "
        draw.text((x, 2), label, fill=all_slots()[slot].colour)
        x += draw.textlength(label)
    return np.asarray(image)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
