"""Slow, obvious versions of what the package does fast, to compare with in float64."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def jacobian(field, coords: Tensor) -> Tensor:
    """(N, C, P), one autograd call per output number."""
    rows = []
    for point in coords:
        for channel in range(field.value_dim):
            output = field(point[None])[0, channel]
            parts = torch.autograd.grad(output, list(field.parameters()))
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


def siren(weights: list[Tensor], biases: list[Tensor], omega_0: float, coords: Tensor) -> Tensor:
    """SIREN as its paper writes it, one point and one neuron at a time."""
    outputs = []
    for point in coords:
        h = [float(x) for x in point]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            z = [
                sum(float(w) * x for w, x in zip(row, h, strict=True)) + float(b)
                for row, b in zip(weight, bias, strict=True)
            ]
            h = z if layer == len(weights) - 1 else [math.sin(omega_0 * x) for x in z]
        outputs.append(h)
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
