"""The bandwidth of the mixture prior is the least with which samples copy little."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS
from runs.helpers import train

import texsyn
from texsyn import Run
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.metrics.scoring import to_numpy
from texsyn.models.mixture_prior import BANDWIDTH
from texsyn.runs import copying, fitting
from texsyn.runs.copying import limit_copying
from texsyn.training.loop import prepare
from texsyn.training.state import init_state

STILL = replace(KINDS["still"], size=(64, 64), window=(64, 64))
RECIPE = Recipe(steps=2, batch_size=1, precision="float32", width_multiplier=0.125, codes=16)


def noise(seed: int, size: int = 64) -> torch.Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def still(seed: int = 0) -> Exemplar:
    return Exemplar(noise(seed), STILL, facts={"name": str(seed)})


@pytest.fixture
def samples_of(monkeypatch):
    """Samples are made by a function of the bandwidth and of the exemplar's number instead of by networks."""

    def use(make):
        def samples(triangle, exemplar, count):
            return [to_numpy(make(float(triangle.mixture_prior.bandwidth), exemplar)) for _ in range(count)]

        monkeypatch.setattr(copying, "_samples", samples)

    return use


@pytest.mark.parametrize(("copies_below", "least"), [(0, 0.02), (0.12, 0.15), (0.21, 0.25), (1, 0.3)])
def test_it_is_the_least_that_copies_little(copies_below, least, samples_of):
    triangle = texsyn.create(still(), RECIPE)
    samples_of(lambda bandwidth, _: noise(0 if bandwidth < copies_below else 1))
    assert limit_copying(triangle, [noise(0)]) == least
    assert float(triangle.mixture_prior.bandwidth) == pytest.approx(least)


def test_none_of_several_exemplars_may_be_copied(samples_of):
    exemplars = (still(0), still(1))
    triangle = texsyn.create(exemplars, RECIPE)
    samples_of(lambda bandwidth, number: noise(number if bandwidth < (0.05, 0.2)[number] else 2))
    assert limit_copying(triangle, [each.pixels for each in exemplars]) == 0.2


def test_what_repeats_in_the_exemplar_itself_is_no_copy(samples_of):
    triangle = texsyn.create(still(), RECIPE)
    row = torch.cat([noise(0, 32), noise(0, 32)], 2)
    samples_of(lambda *_: torch.cat([row, row], 1))
    assert limit_copying(triangle, [torch.cat([row, row], 1)]) == copying._BANDWIDTHS[0]


def test_clips_fixed_frames_and_the_normal_prior_have_none():
    with torch.no_grad():
        for kind, recipe in [("clip", RECIPE), ("flipbook", RECIPE), ("still", replace(RECIPE, latent_prior="normal"))]:
            modality = KINDS[kind]
            exemplar = Exemplar(torch.zeros(modality.channels, *modality.size), modality)
            assert limit_copying(texsyn.create(exemplar, recipe), [exemplar.pixels]) is None


def test_it_is_found_when_training_ends_and_stored_with_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "_BANDWIDTHS", (0.07,))
    run = Run.create(tmp_path / "run", still(), RECIPE)
    trained = train(run, still(), RECIPE)
    assert float(trained.mixture_prior.bandwidth) == pytest.approx(0.07)
    assert float(run.triangle().mixture_prior.bandwidth) == pytest.approx(0.07)
    shutil.rmtree(run.model_folder)  # as of a process that was killed
    assert float(run.triangle().mixture_prior.bandwidth) == pytest.approx(BANDWIDTH)


def test_a_recipe_can_say_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "limit_copying", None)
    recipe = replace(RECIPE, bandwidth=0.4)
    run = Run.create(tmp_path / "run", still(), recipe)
    assert float(train(run, still(), recipe).mixture_prior.bandwidth) == pytest.approx(0.4)
    assert float(run.triangle().mixture_prior.bandwidth) == pytest.approx(0.4)
    shutil.rmtree(run.model_folder)
    assert float(run.triangle().mixture_prior.bandwidth) == pytest.approx(0.4)


def test_previews_while_training_draw_as_training_does(tmp_path):
    triangle = texsyn.create(still(), RECIPE)
    triangle.mixture_prior.bandwidth.fill_(0.3)  # as a run that ended before has it
    state = init_state(triangle, RECIPE, (still(),))
    prepare(state, (still(),), RECIPE)
    assert float(triangle.mixture_prior.bandwidth) == pytest.approx(BANDWIDTH)


def test_of_a_large_exemplar_fewer_patches_are_compared(monkeypatch):
    compared = []
    monkeypatch.setattr(copying, "copying", lambda sample, exemplar, *rest: (compared.append(sample), (0.0,))[1])
    sample = to_numpy(noise(0, 224))
    for side in (64, 224, 512, 2048):
        copying._copied(sample, np.broadcast_to(np.float32(0), (side, side, 3)))
    assert [each.shape[:2] for each in compared] == [(224, 224), (219, 224), (51, 177), (51, 51)]
    compared.clear()
    for number in range(3):
        copying._copied(sample, np.broadcast_to(np.float32(0), (512, 512, 3)), number)
    for each, top in zip(compared, (0, 51, 102), strict=True):  # strips at other heights
        assert np.array_equal(each, sample[top : top + 51, :177])
