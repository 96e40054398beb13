"""How different a picture and its reconstruction look, by published models of vision.

Both take values in [0, 1], clip the prediction to that range, and are 0 for equal pictures; less
is better. They know RGB only: `colours` repeats grey and leaves alpha out.

Both come from packages that nint does not need otherwise. LPIPS is the `lpips` package's own
network, because it is its authors' and because it alone, of the kept libraries, has public
switches to build that network without fetching or unpickling weights (torchmetrics hides them,
piq has VGG only).
"""

import hashlib
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SMALLEST_LPIPS_SIDE = 31
"""Pixels below which AlexNet's second pooling has nothing left to pool."""

PIXELS_PER_DEGREE = 3840 * np.pi / 180
"""FLIP's own default: 0.7 m in front of a display 0.7 m and 3840 pixels wide; about 67."""

# What makes weights those of version 0.1: the scaling of the input and the linear heads. The hash
# is of what lpips 0.1.4 ships.
_HEADS = (
    "scaling_layer.shift",
    "scaling_layer.scale",
    *(f"lin{layer}.model.1.weight" for layer in range(5)),
)
_HEADS_SHA256 = "4c65155bd90d767646b6ef4b6a597c6aaba6614562ca03ed101efbca4d89cf24"


def colours(
    values: NDArray[np.floating], alpha: int | None
) -> tuple[NDArray[np.float32], list[str]]:
    """Give what a model of vision can look at.

    Args:
        values: (H, W, C) of RGB, or grey where there are fewer than three channels.
        alpha: The channel that is alpha; None for none.

    Returns:
        (H, W, 3), and what was done, in plain words.
    """
    channels, done = values.shape[2], []
    base = 3 if channels >= 3 else 1
    if channels > base:
        only_alpha = alpha == base == channels - 1
        done.append("alpha left out" if only_alpha else f"channels after {base} left out")
    values = values[..., :base]
    if base == 1:
        values = values.repeat(3, axis=2)
        done.append("grey repeated to RGB")
    return np.ascontiguousarray(values, np.float32), done


def lpips_network(weights: Mapping[str, Tensor]) -> nn.Module:
    """Build LPIPS (AlexNet, version 0.1) from weights in memory.

    The network is the `lpips` package's. It is built without values, which spares a download, a
    random initialisation and the global random state, and then takes the given tensors.

    Args:
        weights: The state of ``lpips.LPIPS()``, by its own names, in float32; names that begin
            with ``lins.`` repeat others and are passed over. The linear heads belong to it, so
            that one hash of a file pins the whole metric.

    Returns:
        The network, for `lpips`.

    Raises:
        ValueError: If a tensor is missing, unknown, of another shape or type, or not finite, or
            the heads are not those of version 0.1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, on how the package calls it
        import lpips as package

        with torch.device("meta"):
            network: nn.Module = package.LPIPS(
                pretrained=False, net="alex", version="0.1", pnet_rand=True, verbose=False
            )
    expected = {k: v for k, v in network.state_dict().items() if not k.startswith("lins.")}
    given = {k: v for k, v in weights.items() if not k.startswith("lins.")}
    for name in sorted(expected.keys() ^ given.keys()):
        raise ValueError(f"{name} is {'missing' if name in expected else 'no part of LPIPS'}")
    for name, tensor in given.items():
        if tensor.shape != expected[name].shape or tensor.dtype != torch.float32:
            raise ValueError(f"{name}: {tensor.dtype} of {tuple(tensor.shape)} does not fit")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    heads = hashlib.sha256(b"".join(given[name].numpy().tobytes() for name in _HEADS))
    if heads.hexdigest() != _HEADS_SHA256:
        raise ValueError("its linear heads are not those of LPIPS version 0.1")
    network.load_state_dict(given, strict=False, assign=True)  # not strict: `lins.` are shared
    return network.eval()


def lpips(
    network: nn.Module, prediction: NDArray[np.floating], values: NDArray[np.floating]
) -> float:
    """Compute the learned perceptual image patch similarity, a distance.

    The squared differences of AlexNet's channel-normalised features after each of its five ReLUs,
    weighted by linear heads that were fitted to people's judgements, averaged over positions and
    added over layers. Source: Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable
    Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, arXiv 1801.03924.

    Differs: values are scaled by 2v - 1, as the authors mean it. The released code of NINT
    stretches each picture by its own minimum and maximum, which hides errors of brightness and
    contrast, so its figures are not comparable.

    Args:
        network: From `lpips_network`.
        prediction: (H, W, 3); clipped to [0, 1].
        values: (H, W, 3) in [0, 1].

    Returns:
        0 for equal pictures, usually below 1.

    Raises:
        ValueError: If a side is shorter than `SMALLEST_LPIPS_SIDE`.
    """
    if min(values.shape[:2]) < SMALLEST_LPIPS_SIDE:
        raise ValueError(f"LPIPS needs at least {SMALLEST_LPIPS_SIDE} pixels a side")
    weight = next(network.parameters())
    pair = (
        2 * torch.from_numpy(picture).to(weight).movedim(2, 0)[None] - 1
        for picture in (prediction.clip(0, 1), values)
    )
    with torch.no_grad():
        return float(network(*pair))


def flip(prediction: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Compute FLIP, the difference that is seen when two pictures are flipped on a display.

    Low dynamic range, sRGB, at `PIXELS_PER_DEGREE`; the mean of the error map, taken in float64,
    where the `flip-evaluator` package adds up in float32. Source: Andersson, Nilsson,
    Akenine-Möller, Oskarsson, Åström, Fairchild, "FLIP: A Difference Evaluator for Alternating
    Images", Proceedings of the ACM on Computer Graphics and Interactive Techniques 3(2), 2020.

    Args:
        prediction: (H, W, 3); clipped to [0, 1].
        values: (H, W, 3) in [0, 1], sRGB.

    Returns:
        From 0, for equal pictures, to 1.
    """
    from flip_evaluator import evaluate

    error_map, _, _ = evaluate(
        np.ascontiguousarray(values, np.float32),
        np.ascontiguousarray(prediction.clip(0, 1), np.float32),
        "LDR",
        applyMagma=False,
        computeMeanError=False,
        parameters={"ppd": float(PIXELS_PER_DEGREE)},
    )
    return float(error_map.mean(dtype=np.float64))
