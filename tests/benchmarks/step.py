"""How much faster a step of the fit is than the same networks and terms as PyTorch runs them by default.

    python tests/benchmarks/step.py [--rounds N]

By default means float32, contiguous layout, Adam without fusion. The two are timed in turn, round by round, in one
process; the ratio is that of the medians. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from texsyn import layers, recipes, training
from texsyn.media import Exemplar
from texsyn.modality import CLIP, STILL, Modality


@contextmanager
def as_by_default() -> Iterator[None]:
    """Contiguous layout for whatever is laid out meanwhile."""
    before = layers.memory_format
    layers.memory_format = lambda axes: torch.contiguous_format
    try:
        yield
    finally:
        layers.memory_format = before


class Ours:
    """The fit as it is."""

    context = staticmethod(lambda: torch.enable_grad())

    def __init__(self, modality: Modality, name: str) -> None:
        recipe = training.resolve(recipes.recipe_for(name, modality), torch.device("cpu"))
        size = [2 * n if same else n for n, same in zip(modality.window, modality.stationary, strict=True)]
        self.pixels = torch.rand(modality.channels, *size) * 2 - 1
        self.recipe = self.change(recipe)
        with self.context():
            triangle = training.create(Exemplar(self.pixels, modality), self.recipe)
        self.state = training.begin(triangle, self.recipe)

    def change(self, recipe: recipes.Recipe) -> recipes.Recipe:
        return recipe

    def seconds(self, steps: int) -> float:
        with self.context():
            start = time.perf_counter()
            for _ in range(steps):
                training._step(self.state, self.pixels, self.recipe, 1)
            return (time.perf_counter() - start) / steps


class Plain(Ours):
    """The same, as PyTorch does it by default."""

    context = staticmethod(as_by_default)

    def __init__(self, modality: Modality, name: str) -> None:
        super().__init__(modality, name)
        for name, optimiser in self.state.optimisers.items():
            group = {**optimiser.param_groups[0], "fused": None}
            self.state.optimisers[name] = torch.optim.Adam([{**group, "lr": self.recipe.rate}])

    def change(self, recipe: recipes.Recipe) -> recipes.Recipe:
        return replace(recipe, precision="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}")
    print("| kind | recipe | precision | by default, ms | ours, ms | ratio |\n|---|---|---|---|---|---|")
    for modality in (STILL, CLIP):
        for name in ("fast", "paper"):
            ours, plain = Ours(modality, name), Plain(modality, name)
            times = [(plain.seconds(2), ours.seconds(2)) for _ in range(rounds + 1)][1:]
            slow, fast = (1000 * statistics.median(column) for column in zip(*times, strict=True))
            row = (modality.name, name, ours.recipe.precision, f"{slow:.0f}", f"{fast:.0f}", f"{slow / fast:.2f}")
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
