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

    norms = [module for module in triangle.generator_ema.modules() if isinstance(module, layers.BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches that follow
        triangle.generator_ema.train()
        with torch.no_grad(), precision.autocast(recipe.precision, triangle.device):
            for index in range(4):
                triangle.generator_ema(drawn(index))
    triangle.generator_ema.eval()
    with torch.no_grad():
        for number, correction in enumerate(triangle.corrections):
            assert isinstance(correction, Correction)
            made = torch.cat([triangle.generator_ema(drawn(index, number)) for index in range(4, 7)])
            _correct(triangle.modality, correction, made, pixels[number], recipe)


def _correct(modality: Modality, correction: Correction, made: Tensor, pixels: Tensor, recipe: Recipe) -> None:
    """Fit a correction to what the generator makes, `b channels *grid`, and its exemplar, `channels *axes`."""
    if correction.equaliser is not None:
        real = crops(pixels, modality.window, 12, seeded_generator(recipe.seed, "settle", 0), modality.raster)
        size = correction.equaliser.kernel.shape[2:]
        _put(correction.equaliser, equaliser(made, real, modality.axes, size, recipe.equaliser_gain))
        made = correction.apply_equaliser(made, modality.stationary)
    if correction.colour_transfer is not None:
        _put(correction.colour_transfer, tone(made, pixels[None], _STRETCH))
        made = correction.apply_colour_transfer(made)
    if correction.deflicker is not None:
        _put(correction.deflicker, stillness(made, pixels[None]))
        made = correction.apply_deflicker(made)
    if correction.subband_matching is not None:
        levels, axes = len(correction.subband_matching.top), correction.subband_matching.axes
        _put(correction.subband_matching, coring(made, pixels[None], levels, axes, recipe.equaliser_gain or 1.0))


def _put(part: nn.Module, found: Sequence[Tensor]) -> None:
    """Give a part of a correction what was found for its buffers, in their order."""
    for buffer, value in zip(part.buffers(), found, strict=True):
        buffer.copy_(value)
