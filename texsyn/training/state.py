"""All that training carries from one step to the next: with it, a resumed fit equals an unbroken one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.models.level import Codes
from texsyn.models.mixture_prior import MixturePrior
from texsyn.models.triangle import Triangle
from texsyn.models.trio import Trio
from texsyn.training.adam import Adam

NETWORKS = ("generator", "posterior", "energy")
TRAINED_CODES = 16  # at most, of each exemplar: of more, the oldest would be of weights long past
Snapshot = tuple[dict[str, Tensor], dict[str, Any]]  # tensors and numbers
_NUMBERS = ("step", "seconds", "lr_scale", "penalty_scale", "rollbacks", "nonfinite_steps", "level", "level_step")


@dataclass
class TrainState:
    """Networks, optimisers, counters and estimates of masked pixels."""

    triangle: Triangle
    optimisers: dict[str, Adam]  # of each network, by its name within the triangle
    prior: MixturePrior | None = None  # what training draws from, with codes of its own; None: N(0, I)
    codes: list[Codes] = field(default_factory=list)  # likewise, of each level
    step: int = 0
    seconds: float = 0.0
    lr_scale: float = 1.0  # factor on the learning rate, halved at each roll-back
    penalty_scale: float = 1.0  # factor on the recipe's gradient penalty
    rollbacks: int = 0
    nonfinite_steps: int = 0  # steps skipped in a row because a number was not finite
    level: int = 0  # in training; 0: the base
    level_step: int = 0  # after which it began
    estimates: dict[int, Tensor] = field(default_factory=dict)  # pixels of the exemplars that have a mask

    @property
    def trio(self) -> Trio:
        """The networks in training."""
        return self.triangle.trios[self.level]

    def begin_level(self) -> None:
        """Go on to the next level."""
        self.level, self.level_step = self.level + 1, self.step
        self.lr_scale = self.penalty_scale = 1.0
        self.nonfinite_steps = 0

    def pixels(self, exemplars: Sequence[Exemplar]) -> list[Tensor]:
        """What the networks learn from: the exemplars, `channels *axes` each, at their scale, on the device.

        Masked pixels are as they are estimated now.
        """
        triangle, found = self.triangle, self.estimates
        return [
            found[n] if n in found else triangle.scaled(each.pixels.to(triangle.device))
            for n, each in enumerate(exemplars)
        ]

    def textures(self, exemplars: Sequence[Exemplar]) -> list[Tensor]:
        """The exemplars, `channels *axes` each, at their own scale, on the CPU; masked pixels as estimated now."""
        return [each.estimated(self.estimates.get(n)) for n, each in enumerate(exemplars)]

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, in the layout of its weight."""
        named = {f"triangle.{name}": value for name, value in self.triangle.state_dict().items()}
        for network, optimiser in self.optimisers.items():
            for index, parameter in enumerate(optimiser.parameters):
                for key, value in optimiser.tensors(index).items():
                    order = ops.memory_order(parameter) if value.dim() else []
                    inverse = [order.index(axis) for axis in range(len(order))]
                    named[f"optimiser.{network}.{index}.{key}"] = value.permute(inverse)
        if self.prior is not None:
            named |= {f"prior.{name}": value for name, value in self.prior.state_dict().items()}
        for number, codes in enumerate(self.codes):
            named[f"codes.{number}.variance"] = codes.variance
            named |= {f"codes.{number}.{exemplar}": value for exemplar, value in enumerate(codes.means)}
        return named | {f"estimate.{n}": value for n, value in self.estimates.items()}

    def numbers(self) -> dict[str, float | int]:
        """Every number of the state by name."""
        return {name: getattr(self, name) for name in _NUMBERS}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Copy the tensors and numbers of another state of the same fit into this one."""
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(tensors[name])
        for name in _NUMBERS:
            setattr(self, name, numbers[name])

    def snapshot(self) -> Snapshot:
        """Copies of all tensors and numbers, for `restore`."""
        return {name: value.detach().clone() for name, value in self.tensors().items()}, self.numbers()

    def descend(self, network: str, rate: float) -> None:
        """One step of Adam along the gradients of a network in training."""
        self.optimisers[f"levels.{self.level - 1}.{network}" if self.level else network].descend(rate)


def init_state(triangle: Triangle, recipe: Recipe, exemplars: Sequence[Exemplar]) -> TrainState:
    """The state before the first step."""
    above = (f"levels.{number}." for number in range(len(triangle.levels)))
    names = [prefix + name for prefix in ("", *above) for name in NETWORKS]
    optimisers = {name: Adam(triangle.get_submodule(name), recipe) for name in names}
    masked = {n: each for n, each in enumerate(exemplars) if each.mask is not None}
    estimates = {n: triangle.scaled(each.pixels.to(triangle.device)).clone() for n, each in masked.items()}
    codes = [copy.deepcopy(level.codes) for level in triangle.detail]
    prior = _training_prior(triangle)
    if prior is not None and _shows_pieces(triangle, recipe, exemplars):
        prior.keep_pictures(triangle.modality.channels)
    return TrainState(triangle, optimisers, prior, codes, estimates=estimates)


def _training_prior(triangle: Triangle) -> MixturePrior | None:
    """What training draws from; None where latent fields are drawn from N(0, I)."""
    if triangle.mixture_prior is None:
        return None
    design = replace(triangle.design, codes=min(triangle.design.codes, TRAINED_CODES))
    return MixturePrior(triangle.modality, design, triangle.mixture_prior.traced).to(triangle.device)


def _shows_pieces(triangle: Triangle, recipe: Recipe, exemplars: Sequence[Exemplar]) -> bool:
    """Whether draws are compared with what their pieces show: of stills, but not of estimates of masked pixels."""
    still = triangle.modality.is_stationary_still
    return bool(recipe.pieces) and still and all(each.mask is None for each in exemplars)
