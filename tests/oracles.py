"""Slow, obvious versions of what the package does fast, to compare with in float64."""

import cmath
import itertools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nint_cli.samplers.base import Observation
from nint_cli.samplers.soft_mining import SoftMiningLoss


def jacobian(field, coords: Tensor, parameters=None) -> Tensor:
    """(N, C, P), one autograd call per output number."""
    parameters = list(field.parameters() if parameters is None else parameters)
    rows = []
    for point in coords:
        for channel in range(field.value_dim):
            output = field(point[None])[0, channel]
            parts = torch.autograd.grad(output, parameters)
            rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows).reshape(len(coords), field.value_dim, -1)


def dense_ntk(field, coords: Tensor) -> Tensor:
    """(N, C, N, C), J J^T with every row of J from its own autograd call."""
    j = jacobian(field, coords)
    flat = j.flatten(0, 1)
    return (flat @ flat.T).reshape(*j.shape[:2], *j.shape[:2])


def all_points(signal) -> tuple[Tensor, Tensor]:
    return signal.at(torch.arange(len(signal)))


def residual(field, signal) -> Tensor:
    coords, values = all_points(signal)
    with torch.no_grad():
        return field(coords) - values


def ntk_scores(field, signal) -> Tensor:
    """||K(x_i, :) R||_2 from the dense kernel."""
    coords, _ = all_points(signal)
    product = torch.einsum("iakb,kb->ia", dense_ntk(field, coords), residual(field, signal))
    return product.square().sum(1).sqrt()


def layered(weights, biases, activation, features) -> Tensor:
    """Layers h' = activation(W h + b) with a linear last one, a point and a neuron at a time."""
    outputs = []
    for point in features.tolist():
        h = list(point)
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            z = [
                sum(w * x for w, x in zip(row, h, strict=True)) + b
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
            h = z if layer == len(weights) - 1 else [activation(x) for x in z]
        outputs.append(h)
    return torch.tensor(outputs, dtype=features.dtype)


def wire(field, coords: Tensor, first: float, scale: float) -> Tensor:
    """WIRE as its paper writes it, with Python's complex numbers."""
    outputs = []
    pairs = [
        (field.first_weight.tolist(), field.first_bias.tolist()),
        *(
            ([[complex(*z) for z in row] for row in weight.tolist()], [complex(*z) for z in bias])
            for weight, bias in zip(field.weights, (b.tolist() for b in field.biases), strict=True)
        ),
    ]
    for point in coords.tolist():
        h = list(point)
        for layer, (weight, bias) in enumerate(pairs):
            z = [
                sum(w * x for w, x in zip(row, h, strict=True)) + b
                for row, b in zip(weight, bias, strict=True)
            ]
            h = (
                [x.real for x in z]
                if layer == len(pairs) - 1
                else [
                    cmath.exp(1j * field.omega_0 * x - abs((scale if layer else first) * x) ** 2)
                    for x in z
                ]
            )
        outputs.append(h)
    return torch.tensor(outputs, dtype=coords.dtype)


def grid_features(table, resolutions, entries: int, coords: Tensor) -> Tensor:
    """Multilinear interpolation in every level's grid, hashed where it has too many vertices."""
    primes = (1, 2_654_435_761, 805_459_861)
    rows = table.tolist()
    outputs = []
    for point in coords.tolist():
        features, start = [], 0
        for level in resolutions:
            size = math.prod(level)
            cell, inside = [], []
            for x, vertices in zip(point, level, strict=True):
                position = (min(1.0, max(-1.0, x)) + 1) / 2 * (vertices - 1)
                low = min(int(position), vertices - 2)
                cell.append(low)
                inside.append(position - low)
            total = [0.0] * table.shape[1]
            for corner in itertools.product((0, 1), repeat=len(level)):
                weight = math.prod(t if c else 1 - t for c, t in zip(corner, inside, strict=True))
                vertex = [low + c for low, c in zip(cell, corner, strict=True)]
                if size <= entries:
                    row = 0
                    for v, vertices in zip(vertex, level, strict=True):
                        row = row * vertices + v
                else:
                    row = 0
                    for v, prime in zip(vertex, primes, strict=False):
                        row ^= v * prime
                    row %= entries
                for feature, value in enumerate(rows[start + row]):
                    total[feature] += weight * value
            features += total
            start += min(size, entries)
        outputs.append(features)
    return torch.tensor(outputs, dtype=coords.dtype)


def psnr_db(prediction: Tensor, values: Tensor) -> float:
    total = 0.0
    for p, v in zip(prediction.flatten().tolist(), values.flatten().tolist(), strict=True):
        total += (min(max(p, 0.0), 1.0) - v) ** 2
    return -10 * math.log10(total / values.numel())


def lpips(weights: dict[str, Tensor], prediction: Tensor, values: Tensor) -> float:
    """LPIPS 0.1 of (H, W, 3) pictures in [0, 1], AlexNet written out, by lpips's names."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).double()  # kept in float32 by the package
    scale = torch.tensor([0.458, 0.448, 0.450]).double()
    convolutions = ["slice1.0", "slice2.3", "slice3.6", "slice4.8", "slice5.10"]

    def features(picture: Tensor) -> list[Tensor]:
        x = ((2 * picture.double() - 1 - shift) / scale).permute(2, 0, 1)[None]
        found = []
        for layer, name in enumerate(convolutions):
            if layer in {1, 2}:
                x = functional.max_pool2d(x, 3, stride=2)
            weight, bias = (weights[f"net.{name}.{part}"].double() for part in ("weight", "bias"))
            stride, padding = [(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)][layer]
            x = functional.conv2d(x, weight, bias, stride=stride, padding=padding).clamp(min=0)
            found.append(x[0])
        return found

    total = 0.0
    pairs = zip(features(prediction.clamp(0, 1)), features(values), strict=True)
    for layer, (a, b) in enumerate(pairs):
        head = weights[f"lin{layer}.model.1.weight"].double().flatten()
        positions = []
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                u, v = a[:, i, j], b[:, i, j]
                u, v = u / (u.norm() + 1e-10), v / (v.norm() + 1e-10)
                positions.append(float(head @ (u - v).square()))
        total += sum(positions) / len(positions)
    return total


def nint_selection(
    scores: Tensor, residuals: Tensor, count: int, share: float, xi: float
) -> tuple[set[int], set[int]]:
    """The two ranked slots, by sorting lists: (NTK, residual)."""
    by_score = sorted(range(len(scores)), key=lambda i: -float(scores[i]))
    ntk = set(by_score[: int(count * share)])
    error = residuals.abs().sum(1)
    by_error = sorted(range(len(scores)), key=lambda i: -float(error[i]))
    left = [i for i in by_error if i not in ntk]
    return ntk, set(left[: int(count * (1 - xi - share) + 1e-9)])


def observation(field, signal, selection, *, leveraged=True) -> Observation:
    """What a step sees of its batch, by autograd; leveraged errors cost a pass a point."""
    coords, values = signal.at(selection.indices)
    coords.requires_grad_()
    prediction = field(coords)
    if selection.loss is None:
        weights = 1.0 if selection.weights is None else selection.weights[:, None]
        gradient = 2 / values.numel() * weights * (prediction.detach() - values)
    else:
        _, gradient = selection.loss(prediction.detach(), values)
    (by_coords,) = torch.autograd.grad(prediction, coords, gradient, retain_graph=True)
    errors = None
    if leveraged:
        errors = leveraged_errors(field, prediction, prediction.detach() - values)
    return Observation(selection, prediction.detach(), values, by_coords, errors)


def leveraged_errors(field, prediction: Tensor, residual: Tensor) -> Tensor:
    """Squared error times the estimated mean of the kernel's diagonal, a backward pass a point."""
    last = {id(parameter) for parameter in field.last_layer()}
    weight = field.last_layer()[0].detach().flatten(1)
    found = []
    for row, part in zip(prediction, residual, strict=True):
        gradient = torch.autograd.grad(row, list(field.parameters()), part, retain_graph=True)
        pairs = list(zip(field.parameters(), gradient, strict=True))
        inner = sum(float(each.square().sum()) for p, each in pairs if id(p) not in last)
        outer = sum(float(each.square().sum()) for p, each in pairs if id(p) in last)
        reaching = float((part @ weight).square().sum())
        usual = float(weight.square().sum()) / len(weight) * float(part.square().sum())
        found.append(outer + (inner * usual / reaching if reaching else 0.0))
    return torch.tensor(found, dtype=residual.dtype)


def loss_gradient(loss, seen: Observation) -> Tensor:
    """The gradient of a loss by differences, one number of the prediction at a time.

    The weights of Soft Mining are no function of the prediction for its gradient.
    """
    if isinstance(loss, SoftMiningLoss):
        held = loss.weight(seen.prediction - seen.values)[:, None]

        def total(prediction):
            return (held * (prediction - seen.values).square()).mean()

    else:

        def total(prediction):
            return loss(prediction, seen.values)[0]

    gradient = torch.empty_like(seen.prediction)
    for row, channel in torch.cartesian_prod(*map(torch.arange, seen.prediction.shape)).tolist():
        step = torch.zeros_like(seen.prediction)
        step[row, channel] = 1e-6
        ahead, behind = total(seen.prediction + step), total(seen.prediction - step)
        gradient[row, channel] = (ahead - behind) / 2e-6
    return gradient


def point_triangle_distance(points, a, b, c):
    """(M,) distances from points (M, 3) to one triangle, by its plane and its three sides."""
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal)
    height = (points - a) @ normal
    foot = points - height[:, None] * normal
    within = np.ones(len(points), bool)
    nearest = np.full(len(points), np.inf)
    for start, stop in ((a, b), (b, c), (c, a)):
        side = stop - start
        within &= (foot - start) @ np.cross(normal, side) >= 0
        along = np.clip((points - start) @ side / (side @ side), 0, 1)[:, None]
        nearest = np.minimum(nearest, np.linalg.norm(points - start - along * side, axis=1))
    return np.where(within, np.abs(height), nearest)


def mesh_distance(points, vertices, faces):
    """(M,) distances to the nearest triangle, from all of them."""
    return np.min([point_triangle_distance(points, *vertices[face]) for face in faces], axis=0)


def winding_number(points, vertices, faces):
    """(M,) generalised winding numbers: solid angles over 4 pi, by Van Oosterom and Strackee."""
    total = np.zeros(len(points))
    for face in faces:
        a, b, c = vertices[face][:, None] - points
        la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        top = np.einsum("ij,ij->i", a, np.cross(b, c))
        dots = [np.einsum("ij,ij->i", p, q) for p, q in ((a, b), (a, c), (b, c))]
        bottom = la * lb * lc + dots[0] * lc + dots[1] * lb + dots[2] * la
        total += 2 * np.arctan2(top, bottom)
    return total / (4 * np.pi)
