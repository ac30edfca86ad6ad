"""Several exemplars in one model: labels tell them apart."""

from dataclasses import replace

import pytest
import torch
from conftest import KINDS, lively

from texsyn import End, TexsynError, across, morph
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling
from texsyn.training import loop


@pytest.fixture
def pair(modality) -> Triangle:
    return lively(Triangle(modality, replace(modality.designs["local"], exemplars=2), seed=1))


def test_the_label_changes_samples_and_their_energy(pair):
    one, other = (sampling.sample(pair, seed=3, exemplar=n) for n in (0, 1))
    assert (one - other).abs().max() > 1e-3
    window = pair.modality.window
    x = torch.rand(2, pair.modality.channels, *window)
    assert not torch.allclose(pair.energy(x, pair.labels([0, 0])), pair.energy(x, pair.labels([1, 1])), rtol=1e-3)
    with pytest.raises(TexsynError, match="has 2 exemplar"):
        sampling.sample(pair, exemplar=2)


def test_the_written_out_gradient_holds_with_labels(pair):
    energy = pair.energy.double()
    x = torch.rand(2, pair.modality.channels, *pair.modality.window, dtype=torch.float64, requires_grad=True)
    labels = pair.labels([0, 1]).double()
    (gradient,) = torch.autograd.grad(energy(x, labels).sum(), x)
    torch.testing.assert_close(energy.with_gradient(x.detach(), labels)[1], gradient)


def test_two_exemplars_are_told_apart(recipe):
    """Dark and light: the label alone says which, to the generator and to the corrections."""
    modality = KINDS["still"]
    noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.1
    exemplars = [Exemplar(noise[n] + offset, modality) for n, offset in enumerate((-0.6, 0.6))]
    recipe = replace(recipe, steps=200, learning_rate=3e-3)
    triangle = loop.create(exemplars, recipe)
    for _ in loop.fit(triangle, exemplars, recipe):
        pass
    dark, light = (float(sampling.sample(triangle, exemplar=n).mean()) for n in (0, 1))
    assert dark == pytest.approx(-0.6, abs=0.1)
    assert light == pytest.approx(0.6, abs=0.1)
    middle = [float(frame.mean()) for frame in morph(triangle, End(0, 0), End(0, 1), frames=5, loop=False)]
    assert middle == sorted(middle)
    blend = torch.cat(list(across(triangle, End(0, 0), End(0, 1), size=(128, 16))), 1)
    assert blend[..., :24].mean() < -0.4
    assert blend[..., -24:].mean() > 0.4
