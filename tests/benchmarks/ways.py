"""A training step as texsyn runs it, and the same step in two simpler forms, which `speed.py` compares with it.

Textbook is the step as one writes it down: each network is called once for each term, the gradient penalty uses double
backward, in float32 and contiguous layout, with Adam's default settings. Plain is our step with these settings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from texsyn.core import ops
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe, recipe_for
from texsyn.media.exemplar import Exemplar, crops
from texsyn.models import im2col, layers
from texsyn.models.trio import latent, prior, reconstruction
from texsyn.training import loop
from texsyn.training.adam import Adam
from texsyn.training.data import Data
from texsyn.training.state import init_state


@contextmanager
def pytorch_defaults() -> Iterator[None]:
    """Contiguous layout for tensors that are created within, and no convolution as a matrix product."""
    before = ops.memory_format, im2col.few_positions
    ops.memory_format, im2col.few_positions = lambda axes: torch.contiguous_format, lambda *asked: False
    try:
        yield
    finally:
        ops.memory_format, im2col.few_positions = before


class Ours:
    """The step of `texsyn.fit`."""

    context = staticmethod(lambda: torch.enable_grad())

    def __init__(self, modality: Modality, name: str, device: str = "cpu") -> None:
        self.device = torch.device(device)
        recipe = recipe_for(name, modality)
        size = [2 * n if same else n for n, same in zip(modality.window, modality.stationary, strict=True)]
        self.pixels = torch.rand(modality.channels, *size).to(self.device) * 2 - 1
        self.recipe = self.change(recipe)
        exemplar = Exemplar(self.pixels, modality)
        with self.context():
            triangle = loop.create(exemplar, self.recipe).to(self.device)
        self.state = init_state(triangle, self.recipe, [exemplar])
        self.data = Data.of([exemplar], self.state.pixels([exemplar]), triangle.modality, self.recipe)

    def change(self, recipe: Recipe) -> Recipe:
        return recipe

    def seconds(self, steps: int) -> float:
        with self.context():
            start = self.now()
            for _ in range(steps):
                loop.train_step(self.state, self.data, self.recipe)
            return (self.now() - start) / steps

    def now(self) -> float:
        """The time in seconds, after the device has finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class DefaultAdam(Adam):
    """Adam as PyTorch has it by default."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__(network, recipe)
        self.optimiser = torch.optim.Adam(
            network.parameters(), recipe.learning_rate, self.betas, weight_decay=recipe.weight_decay
        )

    def descend(self, rate: float) -> None:
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()


class Plain(Ours):
    """The same step with PyTorch's defaults."""

    context = staticmethod(pytorch_defaults)

    def __init__(self, modality: Modality, name: str, device: str = "cpu") -> None:
        super().__init__(modality, name, device)
        for module in self.state.triangle.modules():
            if isinstance(module, layers.ConvTranspose):
                module.always_subpixel = False
        for name in self.state.optimisers:
            self.state.optimisers[name] = DefaultAdam(self.state.triangle.get_submodule(name), self.recipe)

    def change(self, recipe: Recipe) -> Recipe:
        return replace(recipe, precision="float32")


class Textbook(Plain):
    """The same terms and networks, one term after the other."""

    def seconds(self, steps: int) -> float:
        with self.context():
            start = self.now()
            for _ in range(steps):
                self.step()
            return (self.now() - start) / steps

    def step(self) -> None:
        recipe, state, triangle = self.recipe, self.state, self.state.triangle
        window = triangle.modality.window
        size = triangle.modality.channels * torch.Size(window).numel()
        x = crops(self.pixels, window, recipe.batch_size, torch.Generator().manual_seed(state.step))
        shape = (recipe.batch_size, *triangle.latent_shape(window))
        z, noise = torch.randn(shape, device=self.device), torch.randn(shape, device=self.device)
        triangle.zero_grad()
        mean, log_variance = triangle.posterior(x)
        encoded = mean + noise * (0.5 * log_variance).exp()
        generated = triangle.generator(z)
        descent = (
            reconstruction(x, triangle.generator(encoded, (False,) * len(window)), recipe.sigma)
            + prior(mean, log_variance)
            + latent(z, *triangle.posterior(generated))
            - triangle.energy(generated).mean()
        )
        (descent / size).backward()
        triangle.energy.zero_grad()
        penalised = state.step % recipe.penalty_interval == 0
        both = torch.cat((x, generated.detach())).requires_grad_(penalised)
        energies = triangle.energy(both)
        loss = (energies[recipe.batch_size :].mean() - energies[: recipe.batch_size].mean()) / size
        if penalised:
            (gradient,) = torch.autograd.grad(energies.sum(), both, create_graph=True)
            loss = loss + recipe.gradient_penalty * recipe.penalty_interval * gradient.square().mean()
        loss.backward()
        state.step += 1
        loop._update(state, recipe)
