"""After training: batch-norm statistics of the averaged generator, and the corrections of its samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import crops
from texsyn.models import layers, precision
from texsyn.models.corrections import Correction
from texsyn.models.triangle import Triangle
from texsyn.training.bank import encode_codes
from texsyn.training.data import Data, Stream, latent_noise

_BATCH = 4  # textures generated at once
_STATISTICS, _SAMPLES = range(4), range(4, 7)  # batches for the statistics, and for each exemplar's corrections
_CROPS = 12  # of an exemplar, to which the equaliser is fitted


def calibrate(triangle: Triangle, recipe: Recipe, data: Data) -> None:
    """Prepare for sampling: the codes that samples are drawn from, batch-norm statistics over draws, then corrections.

    Training goes on as if nothing had been prepared.
    """
    encode_codes(triangle, data, recipe)
    _fit_batch_norm(triangle, recipe, len(data.pixels))
    triangle.generator_ema.eval()
    modality = triangle.modality
    with torch.no_grad():
        for number, correction in enumerate(triangle.corrections):
            assert isinstance(correction, Correction)
            inputs = (_latents(triangle, recipe, batch, [number] * _BATCH) for batch in _SAMPLES)
            generated = torch.cat([triangle.generator_ema(z) for z in inputs])
            random = ops.seeded_generator(recipe.seed, Stream.CALIBRATION, 0)
            real = crops(data.pixels[number], modality.window, _CROPS, random, triangle.raster)
            correction.fit(generated, data.pixels[number][None], real, recipe.equaliser_gain)


def _fit_batch_norm(triangle: Triangle, recipe: Recipe, exemplars: int) -> None:
    """Set running statistics to the mean over batches from the prior, of all exemplars in turn."""
    norms = [module for module in triangle.generator_ema.modules() if isinstance(module, layers.BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches that follow
    triangle.generator_ema.train()
    with torch.no_grad(), precision.autocast(recipe.precision, triangle.device):
        for batch in _STATISTICS:
            in_turn = [(batch + n) % exemplars for n in range(_BATCH)]
            triangle.generator_ema(_latents(triangle, recipe, batch, in_turn))


def _latents(triangle: Triangle, recipe: Recipe, batch: int, exemplars: Sequence[int]) -> Tensor:
    """Input of the generator for a batch of textures like these exemplars."""
    noise = latent_noise(triangle, len(exemplars), recipe.seed, Stream.CALIBRATION, batch)
    return triangle.draw_latents(triangle.labelled(noise, triangle.labels(exemplars)))
