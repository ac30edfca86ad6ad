"""Training: it learns, repeats, survives numbers that are not finite, and keeps its budget."""

from dataclasses import replace

import pytest
import torch
import ways

from texsyn import TexsynError
from texsyn.core import ops
from texsyn.core.errors import Exit
from texsyn.core.modality import CLIP, STILL
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import crops
from texsyn.models.triangle import Triangle
from texsyn.models.trio import TERMS
from texsyn.training import loop
from texsyn.training.data import Stream
from texsyn.training.state import NETWORKS, init_state

pytestmark = pytest.mark.usefixtures("quick_draws")


def weights(triangle) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in triangle.state_dict().items()}


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def train(exemplar, recipe, **more):
    triangle = loop.create(exemplar, recipe)
    reports = list(loop.fit(triangle, exemplar, recipe, **more))
    return triangle, reports


def test_every_kind_trains_and_reports_the_five_terms(exemplar, recipe):
    fresh = weights(loop.create(exemplar, recipe))
    triangle, reports = train(exemplar, recipe)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert tuple(reports[-1].terms) == TERMS
    assert reports[-1].done
    assert [r.step for r in reports if r.checkpoint] == [3, 6]
    for network in (*NETWORKS, "generator_ema"):
        before = torch.cat([v.flatten() for n, v in fresh.items() if n.startswith(network) and v.dim() > 1])
        after = torch.cat([v.flatten() for n, v in weights(triangle).items() if n.startswith(network) and v.dim() > 1])
        assert not torch.equal(before, after)


def test_a_seed_gives_the_same_weights_and_another_seed_others(exemplar, recipe):
    one, _ = train(exemplar, recipe)
    assert equal(weights(one), weights(train(exemplar, recipe)[0]))
    assert not equal(weights(one), weights(train(exemplar, replace(recipe, seed=1))[0]))


def test_reconstruction_falls(exemplar):
    recipe = Recipe(steps=150, batch_size=2, learning_rate=3e-3, precision="float32", codes=16)
    _, reports = train(exemplar, recipe)
    first, last = (sum(r.terms["reconstruction"] for r in part) / 10 for part in (reports[:10], reports[-10:]))
    assert last < 0.5 * first


def test_the_energy_rises_on_data_against_generated_textures(exemplar):
    """The generator is held fixed, the energy follows: alpha ascends E_data f - E_P f."""
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


def test_weights_stay_when_the_caller_stops(exemplar, recipe):
    triangle = loop.create(exemplar, recipe)
    for report in loop.fit(triangle, exemplar, recipe):
        if report.step == 2:
            break
    kept = weights(triangle)
    assert equal(kept, weights(triangle))
    assert not triangle.generator_ema.training


def test_a_step_that_is_not_finite_is_skipped(exemplar, recipe, monkeypatch):
    steps = spoil(monkeypatch, {2})
    triangle, reports = train(exemplar, recipe)
    assert [bool(r.skipped) for r in reports] == [s == 2 for s in range(len(reports))]
    assert len(steps) == 6
    assert all(value.isfinite().all() for value in weights(triangle).values())


def test_three_nonfinite_steps_in_a_row_go_back_to_the_last_checkpoint_at_half_the_rate(exemplar, recipe, monkeypatch):
    spoil(monkeypatch, {3, 4, 5})
    _, reports = train(exemplar, replace(recipe, steps=9))
    assert "step 3" in reports[5].skipped
    assert reports[-1].state.lr_scale == 0.5
    assert reports[-1].state.rollbacks == 1


def test_a_fit_that_keeps_diverging_gives_up_with_the_last_good_weights(exemplar, recipe, monkeypatch):
    # The same steps whatever their total, and of codes for sampling as many as training has, finished or not.
    recipe = replace(recipe, lr_decay_fraction=0.0, codes=16)
    good, _ = train(exemplar, replace(recipe, steps=3))
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
        result = true(self, *arguments, **more)
        steps.append(len(steps))
        return replace(result, loss=result.loss * float("inf")) if steps[-1] in bad else result

    monkeypatch.setattr(Triangle, "losses", losses)
    return steps


def test_out_of_memory_takes_smaller_batches_and_gives_the_same_gradients(exemplar, monkeypatch):
    recipe = Recipe(steps=1, batch_size=4, precision="float32", normalisation="none")
    _, whole = train(exemplar, recipe)
    true = Triangle.losses

    def losses(self, x, *rest, **more):
        if len(x) > 2:
            raise torch.OutOfMemoryError("the device is full")
        return true(self, x, *rest, **more)

    monkeypatch.setattr(Triangle, "losses", losses)
    _, parts = train(exemplar, recipe)
    assert parts[0].terms == pytest.approx(whole[0].terms, rel=1e-4)
    gradients = parts[0].state.tensors()  # Adam's first mean is half the gradient
    for name, value in whole[0].state.tensors().items():
        if name.endswith("exp_avg"):
            torch.testing.assert_close(gradients[name], value, rtol=1e-3, atol=1e-4 * float(value.abs().max()))


def out_of_memory(self, *arguments, **more):
    raise torch.OutOfMemoryError("the device is full")


def test_too_little_memory_for_one_texture_is_one_line_and_exit_4(exemplar, recipe, monkeypatch):
    monkeypatch.setattr(Triangle, "losses", out_of_memory)
    with pytest.raises(TexsynError, match="memory") as caught:
        train(exemplar, recipe)
    assert caught.value.exit is Exit.OUT_OF_MEMORY


def test_a_time_budget_ends_the_fit_and_sets_the_schedule(exemplar, recipe, monkeypatch):
    clock = iter(range(100_000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(clock)))
    _, reports = train(exemplar, replace(recipe, steps=1, minutes=1.0, lr_decay_fraction=0.5))
    assert 60 <= reports[-1].seconds < 64
    rates = [r.progress for r in reports]
    assert rates == sorted(rates)
    assert reports[-1].state.optimisers["energy"].rate < 0.2 * recipe.learning_rate


def test_the_rate_stays_and_then_falls_to_zero(exemplar, recipe):
    triangle = loop.create(exemplar, recipe)
    rates = [
        r.state.optimisers["generator"].rate
        for r in loop.fit(triangle, exemplar, replace(recipe, steps=10, lr_decay_fraction=0.5))
    ]
    assert rates[:5] == [recipe.learning_rate] * 5
    assert rates[-1] == 0
    assert rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.parametrize("modality", ["still"], indirect=True)
def test_the_penalty_adapts_to_the_gradient_norm_asked_for(exemplar, recipe):
    """A higher target leaves the energy steeper."""
    recipe = replace(
        recipe, steps=150, learning_rate=4e-3, gradient_penalty=0.05, penalty_interval=1, lr_decay_fraction=0.0
    )
    _, reports = train(exemplar, replace(recipe, steps=20, gradient_norm_target=0.0))
    assert reports[-1].state.penalty_scale == 1
    norms = []
    for target in (0.5, 8.0):
        triangle, reports = train(exemplar, replace(recipe, gradient_norm_target=target))
        x = crops(exemplar.pixels, exemplar.modality.window, 16, ops.seeded_generator(0, Stream.CROP, 0))
        with torch.no_grad():
            norms.append(float(triangle.energy.with_gradient(x)[1].square().mean()))
        assert reports[-1].state.penalty_scale != 1
    assert norms[1] > 2 * norms[0]


def test_the_penalty_moves_slowly_and_within_its_range(exemplar, recipe):
    state = init_state(loop.create(exemplar, recipe), recipe, [exemplar])
    loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 5.0)
    assert 0.98 < state.penalty_scale < 1
    state.penalty_scale = 1.0
    loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 1e9)
    assert 1 < state.penalty_scale < 1.05
    for _ in range(1000):
        loop._adapt_penalty(state, replace(recipe, gradient_norm_target=10.0), 0.0)
    assert state.penalty_scale == 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_too(exemplar, recipe):
    triangle = loop.create(exemplar, replace(recipe, precision="auto"), "cuda")
    reports = list(loop.fit(triangle, exemplar, replace(recipe, precision="auto")))
    assert reports[-1].done
    assert all(value.isfinite().all() for value in triangle.state_dict().values())


class _Narrow:
    """Narrow networks, so that a step is quick."""

    def change(self, recipe):
        return replace(super().change(recipe), width_multiplier=0.125, precision=self.precision)


@pytest.mark.parametrize("modality", [STILL, CLIP], ids=lambda row: row.name)
def test_a_step_is_the_one_that_pytorch_takes_by_default(modality):
    """What makes a step fast changes its terms and gradients by rounding alone, of float32 or bfloat16."""
    results = {}
    for name, way, precision in (
        ("plain", ways.Plain, "float32"),
        ("ours", ways.Ours, "float32"),
        ("bfloat16", ways.Ours, "bfloat16"),
    ):
        torch.manual_seed(0)
        step = type("Narrow", (_Narrow, way), {"precision": precision})(modality, "fast")
        state = step.state
        with step.context():
            terms, skipped = loop.train_step(state, step.data, step.recipe)
        assert not skipped
        gradients = [p.grad for network in NETWORKS for p in getattr(state.triangle, network).parameters()]
        results[name] = terms, torch.cat([each.flatten() for each in gradients if each is not None])
    # 1e-6 nats: the prior term of fresh weights is .0005, a difference of values near one.
    for name, of_terms, nats, of_gradients in (("ours", 1e-4, 1e-6, 2e-3), ("bfloat16", 0.02, 1, 0.1)):
        assert results[name][0] == pytest.approx(results["plain"][0], rel=of_terms, abs=nats)
        apart = (results[name][1] - results["plain"][1]).norm() / results["plain"][1].norm()
        assert apart < of_gradients, (name, apart)


def test_hints_of_errors_are_options_that_exist(exemplar, recipe, monkeypatch):
    """They name fields of a recipe as the command line spells them."""
    spoil(monkeypatch, set(range(1000)))
    with pytest.raises(
        TexsynError, match=r"--set learning_rate=\.\.\. or a higher --set gradient_penalty=\.\.\. may help"
    ):
        train(exemplar, replace(recipe, steps=1000))
    monkeypatch.setattr(Triangle, "losses", out_of_memory)
    with pytest.raises(TexsynError, match=r"use a smaller --side or --set width_multiplier=\.\.\."):
        train(exemplar, recipe)


@pytest.mark.parametrize(
    ("window", "message"),
    [((100, 128), "have a stride of 32, but the window is 100"), ((32, 32), "do not fit a window of 32 x 32")],
)
def test_networks_that_do_not_fit_the_window_are_refused(window, message):
    """Of stills: the generator's stride is 32, and in 32 pixels the paper's energy has no position."""
    with pytest.raises(TexsynError, match=message):
        loop.check_fit(replace(STILL, window=window), Recipe(architecture="paper"))
    loop.check_fit(STILL, Recipe(architecture="paper"))
