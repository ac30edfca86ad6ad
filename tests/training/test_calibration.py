"""After training: corrections bring samples of the averaged generator closer to the exemplar."""

from dataclasses import replace

import torch
from conftest import KINDS, lively

from texsyn.core import ops
from texsyn.media.exemplar import Exemplar, crops
from texsyn.models.equaliser import band_covariance, frequency_bands
from texsyn.synthesis import sampling
from texsyn.training import loop
from texsyn.training.calibration import calibrate
from texsyn.training.data import Data, Stream


def train(exemplar, recipe):
    triangle = loop.create(exemplar, recipe)
    for _ in loop.fit(triangle, exemplar, recipe):
        pass
    return triangle


def data_of(exemplar, triangle, recipe):
    return Data.of([exemplar], [triangle.scaled(exemplar.pixels)], triangle.modality, recipe)


def test_the_equaliser_brings_samples_to_the_exemplars_spectrum(exemplar, recipe):
    """Whatever the generator's output, its bands are closer to the exemplar's afterwards, and its mean stays."""
    recipe = replace(recipe, equaliser_gain=2.0)
    triangle = lively(loop.create(exemplar, recipe))
    calibrate(triangle, recipe, data_of(exemplar, triangle, recipe), finished=True)
    modality, (correction,) = triangle.modality, triangle.corrections
    noise = torch.randn(32, *triangle.latent_shape(modality.window), generator=torch.Generator().manual_seed(0))
    z = triangle.draw_latents(noise)
    bands = frequency_bands(modality.axes, modality.window, z.device)

    def brightness(x: torch.Tensor) -> torch.Tensor:
        """Power in each band of the channels' mean, which no channel by itself tells."""
        return band_covariance(x, bands).mean((1, 2)).clamp(min=1e-14).log()

    real = crops(triangle.scaled(exemplar.pixels), modality.window, 32, ops.seeded_generator(0, Stream.CROP, 0))
    goal = brightness(real)
    with torch.no_grad():
        generated = triangle.generator_ema(z)
        equalised = correction.equaliser(generated, modality.stationary)
    before, after = (brightness(x) - goal for x in (generated, equalised))
    present = (goal > goal.max() - 12) & (before.abs() < 20)  # bands that the exemplar has at all
    louder = before > 0  # gains are bounded by 2, cuts are not
    assert after[present & louder].square().mean() < before[present & louder].square().mean()
    axes = (0, *range(2, generated.dim()))
    constant = generated.mean(axes).view(1, -1, *(1,) * (generated.dim() - 2)).expand_as(generated[:1])
    torch.testing.assert_close(correction.equaliser(constant, modality.stationary), constant, atol=1e-4, rtol=1e-4)


def test_without_corrections_samples_are_the_generators_output(exemplar, recipe):
    recipe = replace(recipe, equaliser_gain=0.0, colour_transfer=False, deflicker=False, subband_matching=False)
    triangle = train(exemplar, recipe)
    assert not len(triangle.corrections)
    z = torch.zeros(1, *triangle.latent_shape(triangle.modality.window))
    expected = ops.unit_vectors(triangle.generator_ema(z), triangle.modality.vectors, axis=1)
    torch.testing.assert_close(triangle.synthesize(z), expected)


def test_samples_stand_still_where_the_exemplar_does(recipe):
    modality = KINDS["clip"]
    pixels = torch.rand(3, 24, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels[..., :8] = pixels[:, :1, :, :8]
    exemplar = Exemplar(pixels, modality)
    triangle = train(exemplar, recipe)
    sample = sampling.sample(triangle, frames=16)[0]
    torch.testing.assert_close(sample[..., :8], pixels[:, :1, :, :8].expand(-1, 16, -1, -1), atol=1e-5, rtol=0)
    motion = (sample[:, 1:, :, 8:] - sample[:, :-1, :, 8:]).abs().mean()
    assert motion > 0.01
    free = train(exemplar, replace(recipe, deflicker=False))
    assert free.corrections[0].deflicker is None
    assert (sampling.sample(free, frames=16)[0][..., :8] - pixels[:, :1, :, :8]).abs().mean() > 0.01


def test_grey_exemplars_have_grey_samples(recipe):
    """Three equal channels: colour of the generator's output is no direction of the exemplar."""
    grey = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1) * 2 - 1
    triangle = train(Exemplar(grey, KINDS["still"]), recipe)
    sample = sampling.sample(triangle)[0]
    assert sample.std() > 0.01
    assert (sample - sample.mean(0)).abs().max() < 0.02


def test_calibrating_again_changes_nothing(exemplar, recipe):
    """Previews calibrate during training: what they leave has no influence on later ones."""
    triangle = train(exemplar, recipe)
    before = {name: value.clone() for name, value in triangle.state_dict().items()}
    calibrate(triangle, recipe, data_of(exemplar, triangle, recipe), finished=True)
    assert all(torch.equal(before[name], value) for name, value in triangle.state_dict().items())
