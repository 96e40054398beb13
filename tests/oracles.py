"""Slow, obvious versions of what the package does fast, to compare with in float64."""

import math

import torch
from torch import Tensor

from nint_cli.samplers import Observation
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


def observation(field, signal, selection) -> Observation:
    """What a step sees of its batch, by autograd."""
    coords, values = signal.at(selection.indices)
    coords.requires_grad_()
    prediction = field(coords)
    if selection.loss is None:
        weights = 1.0 if selection.weights is None else selection.weights[:, None]
        gradient = 2 / values.numel() * weights * (prediction.detach() - values)
    else:
        _, gradient = selection.loss(prediction.detach(), values)
    (by_coords,) = torch.autograd.grad(prediction, coords, gradient)
    return Observation(selection, prediction.detach(), values, by_coords)


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
