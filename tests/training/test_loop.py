"""Learning: it learns, it repeats, it survives numbers that are not finite, and it keeps its budget."""

import math
from dataclasses import asdict, replace

import pytest
import torch
import ways
from conftest import KINDS, lively

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.modality import CLIP, STILL
from texsyn.core.recipes import OBJECTIVES, Recipe, recipe_for
from texsyn.media.exemplar import Exemplar, crops
from texsyn.models import corrections
from texsyn.models.corrections import SubbandMatching, band_covariance, pyramid, tone
from texsyn.models.triangle import TERMS, Triangle
from texsyn.synthesis import sampling
from texsyn.training import loop
from texsyn.training.calibration import calibrate
from texsyn.training.data import seeded_generator


def weights(triangle) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in triangle.state_dict().items()}


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def learn(exemplar, recipe, **more):
    triangle = loop.create(exemplar, recipe)
    reports = list(loop.fit(triangle, exemplar, recipe, **more))
    return triangle, reports


def test_every_kind_learns_and_reports_the_five_terms(exemplar, recipe):
    fresh = weights(loop.create(exemplar, recipe))
    triangle, reports = learn(exemplar, recipe)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert tuple(reports[-1].terms) == TERMS
    assert reports[-1].done
    assert [r.step for r in reports if r.checkpoint] == [3, 6]
    for network in (*loop.NETWORKS, "generator_ema"):
        before = torch.cat([v.flatten() for n, v in fresh.items() if n.startswith(network) and v.dim() > 1])
        after = torch.cat([v.flatten() for n, v in weights(triangle).items() if n.startswith(network) and v.dim() > 1])
        assert not torch.equal(before, after)


def test_the_same_seed_learns_the_same_and_another_does_not(exemplar, recipe):
    one, _ = learn(exemplar, recipe)
    assert equal(weights(one), weights(learn(exemplar, recipe)[0]))
    assert not equal(weights(one), weights(learn(exemplar, replace(recipe, seed=1))[0]))


def test_reconstruction_falls(exemplar):
    recipe = Recipe(steps=150, batch_size=2, learning_rate=3e-3, precision="float32")
    _, reports = learn(exemplar, recipe)
    first, last = (sum(r.terms["reconstruction"] for r in part) / 10 for part in (reports[:10], reports[-10:]))
    assert last < 0.5 * first


def test_the_energy_rises_on_data_against_what_is_made(exemplar):
    """One network is held, the other follows: alpha ascends E_data f - E_P f."""
    recipe = Recipe(
        steps=60,
        batch_size=2,
        learning_rate=1e-3,
        precision="float32",
        reconstruction=1e-9,
        prior=0,
        latent=0,
        gradient_penalty=0,
    )
    triangle = loop.create(exemplar, recipe)
    for parameter in triangle.generator.parameters():
        parameter.requires_grad_(False)
    contrast = [r.terms["energy_data"] + r.terms["energy_generated"] for r in loop.fit(triangle, exemplar, recipe)]
    assert sum(contrast[-10:]) > sum(contrast[:10])


@pytest.mark.parametrize("case", OBJECTIVES)
def test_special_cases_are_recipes(case):
    modality = KINDS["still"]
    recipe = recipe_for("fast", modality, **asdict(OBJECTIVES[case]))
    assert {name: getattr(recipe, name) for name in asdict(OBJECTIVES[case])} == asdict(OBJECTIVES[case])


def test_weights_stay_when_the_caller_stops(exemplar, recipe):
    triangle = loop.create(exemplar, recipe)
    for report in loop.fit(triangle, exemplar, recipe):
        if report.step == 2:
            break
    kept = weights(triangle)
    assert equal(kept, weights(triangle))
    assert not triangle.generator_ema.training


def test_crops_come_from_everywhere():
    places = torch.arange(40.0).view(1, 40, 1).expand(1, 40, 8)
    starts = [int(crops(places, (8, 8), 1, seeded_generator(0, "crop", step))[0, 0, 0, 0]) for step in range(600)]
    counts = torch.bincount(torch.tensor(starts), minlength=33)
    assert counts.min() >= 4
    assert counts.max() <= 45


def test_streams_and_steps_and_seeds_differ():
    drawn = {
        float(torch.rand((), generator=seeded_generator(seed, stream, step), dtype=torch.float64))
        for seed in range(4)
        for stream in ("crop", "prior", "posterior")
        for step in range(50)
    }
    assert len(drawn) == 4 * 3 * 50


def test_a_step_that_is_not_finite_is_skipped(exemplar, recipe, monkeypatch):
    steps = spoil(monkeypatch, {2})
    triangle, reports = learn(exemplar, recipe)
    assert [bool(r.skipped) for r in reports] == [s == 2 for s in range(len(reports))]
    assert len(steps) == 6
    assert all(value.isfinite().all() for value in weights(triangle).values())


def test_three_bad_steps_in_a_row_go_back_to_the_last_checkpoint_at_half_the_rate(exemplar, recipe, monkeypatch):
    spoil(monkeypatch, {3, 4, 5})
    _, reports = learn(exemplar, replace(recipe, steps=9))
    assert "step 3" in reports[5].skipped
    assert reports[-1].state.lr_scale == 0.5
    assert reports[-1].state.rollbacks == 1


def test_a_fit_that_keeps_diverging_gives_up_with_the_last_good_weights(exemplar, recipe, monkeypatch):
    recipe = replace(recipe, lr_decay_fraction=0.0)  # the same steps, however long the run is to be
    good, _ = learn(exemplar, replace(recipe, steps=3))
    spoil(monkeypatch, set(range(3, 1000)))
    triangle = loop.create(exemplar, recipe)
    with pytest.raises(TexsynError, match="diverged") as caught:
        list(loop.fit(triangle, exemplar, replace(recipe, steps=1000)))
    assert caught.value.exit is Exit.DIVERGED
    assert equal(weights(good), weights(triangle))


def spoil(monkeypatch, bad: set[int]) -> list[int]:
    """Make the losses of some steps infinite."""
    true, steps = Triangle.losses, []

    def losses(self, *arguments, **more):
        found = true(self, *arguments, **more)
        steps.append(len(steps))
        return replace(found, loss=found.loss * float("inf")) if steps[-1] in bad else found

    monkeypatch.setattr(Triangle, "losses", losses)
    return steps


def test_out_of_memory_takes_smaller_batches_and_learns_the_same(exemplar, monkeypatch):
    recipe = Recipe(steps=1, batch_size=4, precision="float32", normalisation="none")
    _, whole = learn(exemplar, recipe)
    true = Triangle.losses

    def losses(self, x, *rest, **more):
        if len(x) > 2:
            raise torch.OutOfMemoryError("as on a full device")
        return true(self, x, *rest, **more)

    monkeypatch.setattr(Triangle, "losses", losses)
    _, parts = learn(exemplar, recipe)
    assert parts[0].terms == pytest.approx(whole[0].terms, rel=1e-4)
    gradients = parts[0].state.tensors()  # Adam's first mean is half the gradient
    for name, value in whole[0].state.tensors().items():
        if name.endswith("exp_avg"):
            torch.testing.assert_close(gradients[name], value, rtol=1e-3, atol=1e-4 * float(value.abs().max()))


def test_no_memory_at_all_is_one_line_and_exit_4(exemplar, recipe, monkeypatch):
    def losses(self, *arguments, **more):
        raise torch.OutOfMemoryError("as on a full device")

    monkeypatch.setattr(Triangle, "losses", losses)
    with pytest.raises(TexsynError, match="memory") as caught:
        learn(exemplar, recipe)
    assert caught.value.exit is Exit.OUT_OF_MEMORY


def test_a_time_budget_ends_the_fit_and_sets_the_schedule(exemplar, recipe, monkeypatch):
    clock = iter(range(100_000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(clock)))
    _, reports = learn(exemplar, replace(recipe, steps=1, minutes=1.0, lr_decay_fraction=0.5))
    assert 60 <= reports[-1].seconds < 64
    rates = [r.progress for r in reports]
    assert rates == sorted(rates)
    assert reports[-1].state.optimisers["energy"].param_groups[0]["lr"] < 0.2 * recipe.learning_rate


def test_the_equaliser_brings_samples_to_the_exemplars_spectrum(exemplar, recipe):
    """Whatever the generator makes, its bands are nearer the exemplar's afterwards, and its mean stays."""
    recipe = replace(recipe, equaliser_gain=2.0)
    triangle = lively(loop.create(exemplar, recipe))
    calibrate(triangle, recipe, [exemplar.pixels])
    modality, (correction,) = triangle.modality, triangle.corrections
    z = torch.randn(32, *triangle.latent_shape(modality.window), generator=torch.Generator().manual_seed(0))
    bands = corrections.bands(modality.axes, modality.window, z.device)

    def brightness(x: torch.Tensor) -> torch.Tensor:
        """Power in each band of the channels' mean, which no channel by itself tells."""
        return band_covariance(x, bands).mean((1, 2)).clamp(min=1e-14).log()

    real = crops(exemplar.pixels, modality.window, 32, seeded_generator(0, "crop", 0))
    goal = brightness(real)
    with torch.no_grad():
        made = triangle.generator_ema(z)
        equalised = correction.apply_equaliser(made, modality.stationary)
    before, after = (brightness(x) - goal for x in (made, equalised))
    held = (goal > goal.max() - 12) & (before.abs() < 20)  # bands that the exemplar has at all
    louder = before > 0  # gains are bounded by 2, cuts are not
    assert after[held & louder].square().mean() < before[held & louder].square().mean()
    constant = made.mean((0, *range(2, made.dim()))).view(1, -1, *(1,) * (made.dim() - 2)).expand_as(made[:1])
    torch.testing.assert_close(correction.equaliser(constant, modality.stationary), constant, atol=1e-4, rtol=1e-4)


def test_without_an_equaliser_there_is_none(exemplar, recipe):
    triangle, _ = learn(
        exemplar, replace(recipe, equaliser_gain=0.0, colour_transfer=False, deflicker=False, subband_matching=False)
    )
    assert not len(triangle.corrections)
    z = torch.zeros(1, *triangle.latent_shape(triangle.modality.window))
    torch.testing.assert_close(triangle.synthesize(z), triangle.generator_ema(z))


def test_the_rate_stays_and_then_falls_to_zero(exemplar, recipe):
    triangle = loop.create(exemplar, recipe)
    rates = [
        r.state.optimisers["generator"].param_groups[0]["lr"]
        for r in loop.fit(triangle, exemplar, replace(recipe, steps=10, lr_decay_fraction=0.5))
    ]
    assert rates[:5] == [recipe.learning_rate] * 5
    assert rates[-1] == 0
    assert rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.parametrize("modality", ["still"], indirect=True)
def test_the_penalty_is_steered_to_the_slope_that_is_asked_for(exemplar, recipe):
    """Where it has time to: a higher goal leaves the energy steeper."""
    recipe = replace(
        recipe, steps=300, learning_rate=2e-3, gradient_penalty=0.05, penalty_interval=1, lr_decay_fraction=0.0
    )
    _, reports = learn(exemplar, replace(recipe, steps=20, gradient_norm_target=0.0))
    assert reports[-1].state.penalty_scale == 1
    slopes = []
    for goal in (0.5, 8.0):
        triangle, reports = learn(exemplar, replace(recipe, gradient_norm_target=goal))
        x = crops(exemplar.pixels, exemplar.modality.window, 16, seeded_generator(0, "crop", 0))
        with torch.no_grad():
            slopes.append(float(triangle.energy.with_gradient(x)[1].square().mean()))
        assert reports[-1].state.penalty_scale != 1
    assert slopes[1] > 2 * slopes[0]


def test_steering_pushes_back(exemplar, recipe):
    state = loop.init_state(loop.create(exemplar, recipe), recipe, [exemplar])
    loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 5.0)
    assert 0.98 < state.penalty_scale < 1
    state.penalty_scale = 1.0
    loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 1e9)
    assert 1 < state.penalty_scale < 1.05
    for _ in range(1000):
        loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 0.0)
    assert state.penalty_scale == 0.02


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("learning_rate", float("nan")),
        ("batch_size", 1000),
        ("precision", "float8"),
        ("lr_decay_fraction", 2.0),
    ],
)
def test_a_recipe_out_of_range_is_refused(name, value):
    with pytest.raises(TexsynError, match=name) as caught:
        recipe_for("fast", KINDS["still"], **{name: value})
    assert caught.value.exit is Exit.USAGE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_too(exemplar, recipe):
    triangle = loop.create(exemplar, replace(recipe, precision="auto"), "cuda")
    reports = list(loop.fit(triangle, exemplar, replace(recipe, precision="auto")))
    assert reports[-1].done
    assert all(value.isfinite().all() for value in triangle.state_dict().values())


def test_what_stands_still_in_the_exemplar_stands_still_in_samples(recipe):
    modality = KINDS["clip"]
    pixels = torch.rand(3, 24, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels[..., :8] = pixels[:, :1, :, :8]
    exemplar = Exemplar(pixels, modality)
    triangle, _ = learn(exemplar, recipe)
    made = sampling.sample(triangle, frames=16)[0]
    torch.testing.assert_close(made[..., :8], pixels[:, :1, :, :8].expand(-1, 16, -1, -1), atol=1e-5, rtol=0)
    moves = (made[:, 1:, :, 8:] - made[:, :-1, :, 8:]).abs().mean()
    assert moves > 0.01
    free, _ = learn(exemplar, replace(recipe, deflicker=False))
    assert free.corrections[0].deflicker is None
    assert (sampling.sample(free, frames=16)[0][..., :8] - pixels[:, :1, :, :8]).abs().mean() > 0.01


def test_bands_of_detail_sum_to_the_clip_and_know_their_speed():
    t = torch.arange(64.0)
    fast, slow = torch.cos(math.pi * t), torch.cos(2 * math.pi * t / 16)
    clip = (fast + slow).view(1, 1, -1, 1, 1)
    wide = torch.cat((clip[:, :, -7:], clip, clip[:, :, :7]), 2)
    first, *middle, rest = pyramid(wide, 3, (2,))
    torch.testing.assert_close(first + sum(middle) + rest, clip)
    torch.testing.assert_close(first.flatten(), fast + 0.038 * slow, atol=0.01, rtol=0)
    assert max(float(each.abs().max()) for each in (*middle, rest)) < 1.1
    still = torch.rand(1, 3, 40, 50)
    torch.testing.assert_close(sum(pyramid(still, 2, (2, 3))), still[:, :, 3:-3, 3:-3])


@pytest.mark.parametrize(("axes", "grid"), [((2,), (32, 16, 16)), ((2, 3), (96, 96))], ids=["clip", "still"])
def test_detail_is_as_often_slight_as_the_exemplars(axes, grid):
    """Tremor everywhere against seldom steps: the same power, other sizes."""
    random, wrapped = torch.Generator().manual_seed(0), (True, *[len(axes) == 2] * (len(grid) - 1))
    made = 0.1 * torch.randn(4, 2, *grid, generator=random)
    seldom = (torch.rand(2, 2, *grid, generator=random) < 0.05).float()
    real = 0.1 * seldom / 0.05**0.5 * torch.randn(seldom.shape, generator=random)
    coring = SubbandMatching(2, 3, axes)
    torch.testing.assert_close(coring(made, wrapped), made)  # as long as nothing is known
    for buffer, value in zip(coring.buffers(), corrections.coring(made, real, 3, axes, 100.0), strict=True):
        buffer.copy_(value)
    found = coring(made, wrapped)
    slight = [float(((each[:, :, 1:] - each[:, :, :-1]).abs() < 0.02).float().mean()) for each in (made, found, real)]
    assert slight[0] < 0.15
    assert slight[2] > 0.8
    assert slight[1] > 3 * slight[0]  # not as many: bands are slight at different places
    assert found.std() == pytest.approx(float(real.std()), rel=0.3)
    torch.testing.assert_close(coring(made.roll(5, 2), wrapped), found.roll(5, 2))
    flat = torch.zeros_like(made).requires_grad_()
    (slope,) = torch.autograd.grad(coring(flat, wrapped).sum(), flat)
    assert slope.isfinite().all()
    assert corrections.coring(made, real, 3, axes, 2.0)[1].max() == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_the_tone_gives_the_mean_and_covariance_that_are_wanted(channels):
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(2, channels, channels, generator=random) * 0.2
    mix[1] = mix[0] + 0.02
    made, real = (
        torch.einsum("dc,bcyx->bdyx", each, torch.randn(4, channels, 64, 64, generator=random)) + offset
        for each, offset in zip(mix, (0.1, -0.2), strict=True)
    )
    matrix, offset = tone(made, real, gain=100.0)
    toned = torch.einsum("dc,bcyx->bdyx", matrix, made) + offset.view(-1, 1, 1)
    flat = [each.transpose(0, 1).flatten(1) for each in (toned, real)]
    torch.testing.assert_close(flat[0].mean(1), flat[1].mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(flat[0]), torch.cov(flat[1]), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(matrix, matrix.T)
    limited, _ = tone(made * 0.01, real, gain=1.5)
    assert torch.linalg.eigvalsh(limited).max() <= 1.5 + 1e-5


def test_grey_exemplars_have_grey_samples(recipe):
    """Three equal channels: whatever colour the generator leaves is no direction of the exemplar."""
    grey = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1) * 2 - 1
    triangle, _ = learn(Exemplar(grey, KINDS["still"]), recipe)
    made = sampling.sample(triangle)[0]
    assert made.std() > 0.01
    assert (made - made.mean(0)).abs().max() < 0.02


class _Narrow:
    """A step small enough for a test."""

    def change(self, recipe):
        return replace(super().change(recipe), width_multiplier=0.25, precision=self.precision)


@pytest.mark.parametrize("modality", [STILL, CLIP], ids=lambda row: row.name)
def test_a_step_is_the_one_that_pytorch_takes_by_default(modality):
    """All that makes a step quick leaves its terms and gradients as they are: to float32's rounding, or bfloat16's."""
    found = {}
    for name, way, precision in (
        ("plain", ways.Plain, "float32"),
        ("ours", ways.Ours, "float32"),
        ("bfloat16", ways.Ours, "bfloat16"),
    ):
        torch.manual_seed(0)
        made = type("Narrow", (_Narrow, way), {"precision": precision})(modality, "fast")
        state = made.state
        with made.context():
            terms, trouble = loop._step(state, made.data, made.recipe, 1)
        assert not trouble
        gradients = [p.grad for network in loop.NETWORKS for p in getattr(state.triangle, network).parameters()]
        found[name] = terms, torch.cat([each.flatten() for each in gradients if each is not None])
    for name, of_terms, nats, of_gradients in (("ours", 1e-4, 0, 2e-3), ("bfloat16", 0.02, 1, 0.1)):
        assert found[name][0] == pytest.approx(found["plain"][0], rel=of_terms, abs=nats)
        apart = (found[name][1] - found["plain"][1]).norm() / found["plain"][1].norm()
        assert apart < of_gradients, (name, apart)
