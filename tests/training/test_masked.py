"""Training on a masked exemplar: masked pixels do not enter the model, and are estimated meanwhile."""

from dataclasses import replace

import pytest
import torch
from conftest import KINDS

from texsyn import Run, TexsynError
from texsyn.core.errors import Exit
from texsyn.core.recipes import Recipe
from texsyn.media import inpaint
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.runs.fitting import fit_run
from texsyn.training import loop


def speckles(exemplar: Exemplar, share: float = 0.4) -> torch.Tensor:
    random = torch.Generator().manual_seed(7)
    return (torch.rand(1, *exemplar.size, generator=random) < share).float()


def weights(triangle: Triangle) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in triangle.state_dict().items()}


def train(exemplar: Exemplar, recipe: Recipe):
    triangle = loop.create(exemplar, recipe)
    *_, last = loop.fit(triangle, exemplar, recipe)
    return triangle, last.state


def test_masked_pixels_never_change_the_model(exemplar, recipe):
    """Training gives the same bits whatever lies under the mask: reading replaces it by a guess from visible pixels."""
    mask = speckles(exemplar)
    one = replace(exemplar, pixels=inpaint.fill(exemplar.pixels, mask), mask=mask)
    spoilt = torch.where(mask > 0, torch.rand(exemplar.pixels.shape) * 2 - 1, exemplar.pixels)
    other = replace(exemplar, pixels=inpaint.fill(spoilt, mask), mask=mask)
    trained = [weights(train(each, recipe)[0]) for each in (one, other)]
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    whole = weights(train(exemplar, recipe)[0])
    assert not all(torch.equal(trained[0][name], whole[name]) for name in whole)


def test_estimates_move_and_visible_pixels_stay(exemplar, recipe):
    masked = replace(exemplar, mask=speckles(exemplar))
    _, state = train(masked, replace(recipe, steps=8))
    before, after = masked.pixels, state.textures([masked])[0]
    assert torch.equal(torch.where(masked.mask > 0, 0, after), torch.where(masked.mask > 0, 0, before))
    assert (after - before).abs().max() > 0.01
    assert torch.equal(masked.pixels, replace(exemplar).pixels)


def test_estimates_are_closer_to_the_truth_than_a_smooth_guess():
    modality = KINDS["still"]
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    truth = torch.stack([torch.sin(0.9 * x + 0.4 * k) * torch.cos(0.7 * y) for k in range(3)]) * 0.8
    mask = torch.zeros(1, 48, 48)
    mask[:, 18:27, 18:27] = 1
    masked = Exemplar(inpaint.fill(truth, mask), modality, mask=mask)
    _, state = train(masked, Recipe(steps=400, batch_size=2, learning_rate=3e-3, precision="float32", codes=16))
    errors = [float(((each - truth).square() * mask).sum()) for each in (masked.pixels, state.textures([masked])[0])]
    assert errors[1] < 0.8 * errors[0]


def test_a_resumed_masked_fit_equals_an_unbroken_one(tmp_path, exemplar, recipe):
    masked = replace(exemplar, mask=speckles(exemplar), facts={"name": "waves", "fps": 10.0})
    ends = []
    for name, stops in (("one", [None]), ("two", [4, None])):
        run = Run.create(tmp_path / name, masked, recipe)
        for stop in stops:
            triangle = run.fresh()
            for report in fit_run(run, triangle, run.exemplars(), recipe, print):
                if report.step == stop:
                    break
        ends.append(weights(triangle) | report.state.tensors())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert any(name.startswith("estimate") for name in ends[0])
    assert torch.equal(run.exemplars()[0].mask, masked.mask)


def test_an_objective_without_reconstruction_cannot_estimate_masked_pixels(exemplar, recipe):
    with pytest.raises(TexsynError, match="estimated by reconstruction") as caught:
        loop.create(replace(exemplar, mask=speckles(exemplar)), replace(recipe, reconstruction=0.0))
    assert caught.value.exit is Exit.USAGE
