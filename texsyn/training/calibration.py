"""After learning: the averaged generator is made ready to sample, and what corrects its samples is estimated on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import crops
from texsyn.models import layers, precision
from texsyn.models.corrections import Correction, coring, equaliser, stillness, tone
from texsyn.models.triangle import Triangle
from texsyn.training.data import latent_noise, seeded_generator

_STRETCH = 1.5  # by which a sample's contrast is raised at most


def calibrate(triangle: Triangle, recipe: Recipe, pixels: Sequence[Tensor]) -> None:
    """Make the averaged generator ready to sample: batch-norm statistics over the prior, then what corrects samples.

    pixels: the exemplars, `channels *axes` each.
    """

    def drawn(index: int, exemplar: int | None = None) -> Tensor:
        labels = triangle.labels([(index + n) % len(pixels) if exemplar is None else exemplar for n in range(4)])
        return triangle.labelled(latent_noise(triangle, 4, recipe.seed, "settle", index), labels)

    norms = [module for module in triangle.average.modules() if isinstance(module, layers.BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches that follow
        triangle.average.train()
        with torch.no_grad(), precision.autocast(recipe.precision, triangle.device):
            for index in range(4):
                triangle.average(drawn(index))
    triangle.average.eval()
    with torch.no_grad():
        for number, correction in enumerate(triangle.corrections):
            assert isinstance(correction, Correction)
            made = torch.cat([triangle.average(drawn(index, number)) for index in range(4, 7)])
            _correct(triangle.modality, correction, made, pixels[number], recipe)


def _correct(modality: Modality, correction: Correction, made: Tensor, pixels: Tensor, recipe: Recipe) -> None:
    """Fit a correction to what the generator makes, `b channels *grid`, and its exemplar, `channels *axes`."""
    if correction.equaliser is not None:
        real = crops(pixels, modality.window, 12, seeded_generator(recipe.seed, "settle", 0), modality.raster)
        size = correction.equaliser.kernel.shape[2:]
        _put(correction.equaliser, equaliser(made, real, modality.axes, size, recipe.equalise))
        made = correction.equalised(made, modality.stationary)
    if correction.tone is not None:
        _put(correction.tone, tone(made, pixels[None], _STRETCH))
        made = correction.toned(made)
    if correction.steady is not None:
        _put(correction.steady, stillness(made, pixels[None]))
        made = correction.steadied(made)
    if correction.coring is not None:
        levels, axes = len(correction.coring.top), correction.coring.axes
        _put(correction.coring, coring(made, pixels[None], levels, axes, recipe.equalise or 1.0))


def _put(part: nn.Module, found: Sequence[Tensor]) -> None:
    """Give a part of a correction what was found for its buffers, in their order."""
    for buffer, value in zip(part.buffers(), found, strict=True):
        buffer.copy_(value)
