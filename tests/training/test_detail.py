"""Training of levels of detail after their base."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import KINDS, levelled

from texsyn.core import ops
from texsyn.core.maps import Plane
from texsyn.core.modality import STILL
from texsyn.core.recipes import LEVEL_SHARE, Recipe, recipe_for
from texsyn.media.exemplar import Exemplar
from texsyn.synthesis import sampling
from texsyn.training import loop
from texsyn.training.detail import Detail
from texsyn.training.state import init_state

# The base has 5 steps, each level 4.
RECIPE = Recipe(
    steps=13, batch_size=2, precision="float32", checkpoint_interval=3, whole_periods=False, deformation=1.0
)


@pytest.fixture
def triangle():
    return levelled()


@pytest.fixture
def exemplar(triangle):
    random = torch.Generator().manual_seed(7)
    fine = ops.resize(torch.rand(3, 64, 96, generator=random) * 1.6 - 0.8, (128, 192))
    return Exemplar((fine + 0.2 * torch.randn(fine.shape, generator=random)).clamp(-1, 1), triangle.modality)


def weights(triangle, trio):
    return {
        name: value.detach().clone() for name, value in triangle.trios[trio].named_parameters() if "levels" not in name
    }


def changed(before, after):
    return any(not torch.equal(before[name], after[name]) for name in before if "ema" not in name)


def test_the_base_is_trained_first_and_each_level_alone(triangle, exemplar):
    before, trained = [weights(triangle, n) for n in range(3)], []
    for report in loop.fit(triangle, exemplar, RECIPE):
        now = [weights(triangle, n) for n in range(3)]
        trained.append([n for n in range(3) if changed(before[n], now[n])])
        assert trained[-1] in ([], [report.state.level])  # the last step of each has a learning rate of zero
        before = now
    assert trained == [[0]] * 4 + [[]] + [[1]] * 3 + [[]] + [[2]] * 3 + [[]]


def test_what_lies_below_a_level_stays_as_it_was_calibrated(triangle, exemplar):
    states = {}
    for report in loop.fit(triangle, exemplar, RECIPE):
        states[report.step] = copy.deepcopy(
            {n: v for n, v in triangle.state_dict().items() if not n.startswith("levels")}
        )
    assert any(not torch.equal(states[5][name], states[6][name]) for name in states[5])  # calibrated when it ended
    assert all(torch.equal(states[6][name], value) for name, value in states[13].items())


@pytest.mark.parametrize("stop", [3, 5, 7, 9, 11])
def test_a_fit_goes_on_bit_for_bit_wherever_it_stopped(triangle, exemplar, stop):
    other = levelled()
    for _ in loop.fit(triangle, exemplar, RECIPE):
        pass
    fits = loop.fit(other, exemplar, RECIPE)
    state = next(report.state for report in fits if report.step == stop)
    tensors, numbers = state.snapshot()
    loop.prepare(state, (exemplar,), RECIPE)  # as for a preview
    fits.close()
    resumed = levelled()
    again = init_state(resumed, RECIPE, (exemplar,))
    again.restore(tensors, numbers)
    for _ in loop.fit(resumed, exemplar, RECIPE, again):
        pass
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in triangle.state_dict().items())
    assert torch.equal(sampling.sample(triangle), sampling.sample(resumed))


def test_what_is_lost_and_what_is_left_make_the_exemplar(triangle, exemplar):
    detail = Detail(triangle, 2, [exemplar.pixels])
    assert torch.allclose(detail.lost[0] + detail.enlarged[0], exemplar.pixels, atol=1e-6)
    assert torch.allclose(detail.coarse[0], ops.block_mean(exemplar.pixels[None], (2, 2))[0])
    lowest = Detail(triangle, 1, [exemplar.pixels])
    assert torch.allclose(lowest.coarse[0], ops.block_mean(exemplar.pixels[None], (4, 4))[0], atol=1e-6)
    state = init_state(triangle, RECIPE, (exemplar,))
    state.level = 2
    detail.begin(state, RECIPE)
    assert torch.allclose(triangle.detail[1].deviation.squeeze(), detail.lost[0].square().mean().sqrt(), rtol=0.3)
    codes = state.codes[1].means[0]
    assert codes.shape[1:] == detail.coarse[0].shape[1:]
    assert codes.std() > 0


def test_codes_of_a_whole_do_not_depend_on_pieces(triangle, exemplar, monkeypatch):
    state = init_state(triangle, RECIPE, (exemplar,))
    detail = Detail(triangle, 1, [exemplar.pixels])
    detail.begin(state, RECIPE)
    whole = state.codes[0].means[0].clone()
    monkeypatch.setattr("texsyn.training.detail._PIECE", 20)
    detail.encode(state.codes[0], RECIPE)
    assert torch.allclose(whole, state.codes[0].means[0], atol=1e-5)


def test_batches_fit_together(triangle, exemplar):
    """What a crop of the data lost, and what lies below it, make the crop."""
    state = init_state(triangle, RECIPE, (exemplar,))
    state.level = 1
    detail = Detail(triangle, 1, [exemplar.pixels])
    detail.begin(state, RECIPE)
    batch = detail.batch(state, RECIPE)
    level = triangle.detail[0]
    own = ops.block_mean(exemplar.pixels[None], (2, 2))[0]
    for n, (_, place) in enumerate(batch.places):
        assert torch.allclose(batch.below.enlarged[n] + level.deviation * batch.x[n], own[place], atol=1e-5)
    assert batch.below.coarse.shape == (4, 3, 8, 8)
    assert batch.z.shape == (2, 2, 8, 8)


def test_maps_of_a_material_agree_at_their_own_size():
    """Height and normals of a smooth relief, before and after: the last level makes them agree."""
    planes = (Plane("colour"), Plane("normal"), Plane("height", 1))
    with_maps = replace(KINDS["material"], planes=planes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "relief", with_maps)
        triangle = levelled((2,), kind="relief")
    y, x = torch.meshgrid(torch.arange(64) / 5, torch.arange(96) / 6, indexing="ij")
    height = 0.4 * (y.sin() + x.cos())
    slopes = torch.stack((0.4 * y.cos() / 5, -0.4 * x.sin() / 6)) * 3
    pixels = torch.cat((height.expand(3, -1, -1), ops.normals_of(slopes, False, 0), height[None]))
    exemplar = Exemplar(pixels, triangle.modality)
    for _ in loop.fit(triangle, exemplar, replace(RECIPE, precision="bfloat16")):
        pass
    assert triangle.detail[0].correction.agreement.weight == 1
    made = sampling.sample(triangle)[0]
    assert torch.allclose(made[3:6].norm(dim=0), torch.ones(64, 96), atol=1e-3)
    rises = (
        triangle.detail[0].correction.agreement._rises(made[None, 6:], (True, True))
        * triangle.detail[0].correction.agreement.steep
    )
    normals = ops.normals_of(rises, False, axis=1)[0]
    assert (normals * made[3:6]).sum(0).median() > 0.999


def test_recipes_train_longer_with_levels():
    plain, two = (recipe_for("fast", replace(STILL, factors=each)).steps for each in ((), (4, 4)))
    assert two == round(plain * (1 + 2 * LEVEL_SHARE))
    assert recipe_for("fast", replace(STILL, factors=(4,)), steps=10).steps == 10
