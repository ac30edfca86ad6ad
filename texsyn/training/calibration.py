"""After training: batch-norm statistics of the averaged generator, and the corrections of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import crops
from texsyn.models import layers, precision
from texsyn.models.corrections import Correction
from texsyn.models.triangle import Triangle
from texsyn.training.bank import encode_codes
from texsyn.training.data import Data, Stream, latent_noise
from texsyn.training.detail import INTERVAL, Detail

_BATCH = 4  # textures generated at once
_STATISTICS, _SAMPLES = range(4), range(4, 7)  # batches for the statistics, and for each exemplar's corrections
_CROPS = 12  # of an exemplar, to which the equaliser is fitted


def calibrate(
    triangle: Triangle, recipe: Recipe, data: Data, detail: Detail | None = None, finished: bool = False
) -> None:
    """Prepare for sampling: the codes that samples are drawn from, batch-norm statistics over draws, then corrections.

    detail: of the level in training, which alone is prepared then; what lies below it was when it began. Training goes
    on as if nothing had been prepared. finished: what is prepared is trained no further, so all codes are encoded.
    """
    if detail is not None:
        _calibrate_level(detail, recipe)
        return
    encode_codes(triangle, data, recipe, whole=finished)
    conditions = triangle.design.exemplars
    count = max(_BATCH, recipe.batch_size if triangle.modality.collection else 0)
    with _fitted_norms(triangle.generator_ema), torch.no_grad(), precision.autocast(recipe.precision, triangle.device):
        for batch in _STATISTICS:
            in_turn = [(batch * count + n) % conditions for n in range(count)]
            triangle.generator_ema(_latents(triangle, recipe, batch, in_turn))
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


def _calibrate_level(detail: Detail, recipe: Recipe) -> None:
    """Codes, batch-norm statistics and corrections of a level."""
    level = detail.level
    detail.encode(level.codes, recipe)
    no_torus = (False,) * len(level.modality.axes)
    with _fitted_norms(level.generator_ema), torch.no_grad():
        for batch in _STATISTICS:
            step = -1 - batch * INTERVAL  # of each batch another draw of what lies below
            z, below = detail.draws(level.codes, recipe, _BATCH, step, Stream.CALIBRATION)
            with precision.autocast(recipe.precision, level.device):
                level.generator_ema(z, no_torus, below.coarse)
    level.generator_ema.eval()
    with torch.no_grad():
        generated = []
        for batch in _SAMPLES:
            z, below = detail.draws(level.codes, recipe, _BATCH, -1 - batch * INTERVAL, Stream.CALIBRATION)
            generated.append(level.synthesize(z, below.coarse, no_torus, corrected=False))
        random = ops.seeded_generator(recipe.seed, Stream.CALIBRATION, 0)
        real = crops(detail.own[0], level.modality.window, _CROPS, random, level.stride)
        level.correction.fit(torch.cat(generated), detail.own[0][None], real, recipe.equaliser_gain)


@contextmanager
def _fitted_norms(network: nn.Module) -> Iterator[None]:
    """Batch norms collect statistics within the block, as plain means over what they see."""
    norms = [module for module in network.modules() if isinstance(module, layers.BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train(bool(norms))
    yield


def _latents(triangle: Triangle, recipe: Recipe, batch: int, exemplars: Sequence[int]) -> Tensor:
    """Input of the generator for a batch of textures like these exemplars."""
    noise = latent_noise(triangle, len(exemplars), recipe.seed, Stream.CALIBRATION, batch)
    return triangle.draw_latents(triangle.labelled(noise, triangle.labels(exemplars)))
