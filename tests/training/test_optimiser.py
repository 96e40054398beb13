"""Adam has PyTorch's bits, and its settings reach it."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.schedules.duration import Duration
from nint_cli.training.learning_rate import LearningRate
from nint_cli.training.optimiser import Adam, OptimiserSettings
from tests.conftest import smooth_pixels
from tests.training.test_trainer import SIGNAL, Until, trainer_of


def test_a_step_is_adam_on_the_mean_squared_error():
    trainer, reference = trainer_of("full", steps=3), trainer_of("full", steps=3)
    watch = Until()
    trainer.fit(watch)
    adam = torch.optim.Adam(reference.field.parameters())
    coords, values = SIGNAL.slice(0, 256)
    for step in range(3):
        adam.param_groups[0]["lr"] = reference.learning_rate.applied(step)
        loss = torch.nn.functional.mse_loss(reference.field(coords), values)
        assert watch.losses[step] == pytest.approx(loss.item(), rel=1e-5)
        adam.zero_grad()
        loss.backward()
        adam.step()
    for a, b in zip(trainer.field.parameters(), reference.field.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.98), (0.0, 0.5)])
def test_adam_has_the_bits_of_pytorchs(betas):
    own, reference = trainer_of().field, trainer_of().field
    adam = Adam(own)
    other = torch.optim.Adam(reference.parameters(), betas=betas, fused=True)
    draws = torch.Generator().manual_seed(2)
    for rate in (1e-3, 1e-2, 5e-4):
        gradient = [torch.randn(p.shape, generator=draws) for p in own.parameters()]
        adam.step(gradient, rate, betas)
        other.param_groups[0]["lr"] = rate
        for parameter, part in zip(reference.parameters(), gradient, strict=True):
            parameter.grad = part
        other.step()
    for a, b in zip(own.parameters(), reference.parameters(), strict=True):
        assert torch.equal(a, b)


def slow_adam(gradients, rate, decays, biases):
    """Adam of one number in float64; `biases` are what the mean of squares is divided by."""
    x = m = v = 0.0
    beta1, left, places = 0.8, 1.0, []
    for gradient, beta2, bias in zip(gradients, decays, biases, strict=True):
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        left *= beta1
        x -= rate * m / (1 - left) / ((v / bias) ** 0.5 + 1e-8)
        places.append(x)
    return places


def test_where_a_decay_falls_the_bias_is_that_of_the_steps_own():
    """By the product of all decays so far the same steps would be shorter."""
    total = 100
    settings = OptimiserSettings(schedule="cosine", warmup=0.05, beta1=0.8, beta2_end=0.98)
    rate = LearningRate(settings, (8, 8), Duration(total, None, lambda: 0.0))
    decays = [rate.betas(step)[1] for step in range(total)]
    assert decays == sorted(decays, reverse=True)
    own = [1 - decay ** (step + 1) for step, decay in enumerate(decays)]
    right = [1 - math.prod(decays[: step + 1]) for step in range(total)]
    longer = [math.sqrt(a / b) for a, b in zip(own, right, strict=True)]
    assert longer[:5] == pytest.approx([1] * 5)
    assert max(longer) == pytest.approx(1.74, abs=0.005)
    field = trainer_of().field
    adam, draws = Adam(field), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
    gradients = torch.randn(total, generator=draws, dtype=torch.float64) + 0.5
    found = []
    for gradient, beta2 in zip(gradients.tolist(), decays, strict=True):
        adam.step([torch.full_like(p, gradient) for p in field.parameters()], 1e-3, (0.8, beta2))
        found.append(next(field.parameters()).flatten()[0].item())
    gradients = gradients.float().double().tolist()
    assert found == pytest.approx(slow_adam(gradients, 1e-3, decays, own), rel=1e-4, abs=1e-7)
    shorter = slow_adam(gradients, 1e-3, decays, right)
    assert abs(found[-1]) > 1.1 * abs(shorter[-1])


def test_settings_reach_adam_and_the_draws():
    """The memory of squares is 20 steps while the rate warms up and shrinks to 4 with it."""
    optimiser = {"beta1": 0.7, "beta2": 0.95, "beta2_end": 0.75}
    optimiser |= {"schedule": "cosine", "warmup": 0.2, "lr": 1e-3}
    config = {"optimiser": optimiser, "batch": {"reshuffle": True, "size": 4}, "steps": 10}
    for sampler in ("uniform", "nint"):
        made = RunConfig.model_validate(config | {"sampler": sampler})
        trainer = build_trainer(made, Picture(smooth_pixels(), "").signal(), Clock())
        used = []
        do_step = trainer.optimiser.step

        def noted(gradient, rate, betas, do_step=do_step, used=used):
            used.append((rate, betas))
            do_step(gradient, rate, betas)

        trainer.optimiser.step = noted
        trainer.fit(Until())
        assert "sampler.epoch" in trainer.state_dict().tensors
        for step, (rate, (beta1, beta2)) in enumerate(used):
            memory = 20 if step < 2 else 4 + 16 * rate / 1e-3
            assert (beta1, beta2) == (0.7, pytest.approx(1 - 1 / memory))


def test_moments_that_do_not_fit_are_refused():
    trainer = trainer_of(steps=1)
    trainer.fit(Until())
    tensors = trainer.optimiser.state_dict()
    del tensors["optimiser.step.weights.0"]
    with pytest.raises(ValueError, match=r"step.weights.0: unknown or missing moment"):
        trainer.optimiser.load_state_dict(tensors)


def test_a_fit_does_not_load_the_compiler_of_pytorch():
    """It takes a second, and twenty on a busy machine."""
    script = (
        "import sys; from tests.training.test_trainer import Until, trainer_of\n"
        "trainer = trainer_of(steps=2); trainer.fit(Until()); trainer.state_dict()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0
