"""What is missing in an exemplar is never looked at, is estimated as learning goes, and can be filled afterwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS, draw, lively
from PIL import Image

import texsyn
from texsyn import Run, TexsynError
from texsyn.cli.entry import main
from texsyn.core.errors import Exit
from texsyn.core.recipes import Recipe
from texsyn.media import inpaint
from texsyn.media.exemplar import Exemplar
from texsyn.media.reader import read
from texsyn.models.triangle import Triangle
from texsyn.synthesis import inversion
from texsyn.training import loop


def speckles(exemplar: Exemplar, share: float = 0.4) -> torch.Tensor:
    random = torch.Generator().manual_seed(7)
    return (torch.rand(1, *exemplar.size, generator=random) < share).float()


def weights(triangle: Triangle) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in triangle.state_dict().items()}


def learn(exemplar: Exemplar, recipe: Recipe):
    triangle = loop.create(exemplar, recipe)
    *_, last = loop.fit(triangle, exemplar, recipe)
    return triangle, last.state


# ------------------------------------------------------------ smooth continuation


@pytest.mark.parametrize("shape", [(3, 17, 24), (2, 6, 9, 8), (1, 5, 1)])
def test_what_fills_a_hole_never_looks_into_it(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mask = (torch.rand(1, *shape[1:], generator=torch.Generator().manual_seed(1)) < 0.6).float()
    filled = inpaint.fill(values, mask)
    spoilt = torch.where(mask > 0, torch.full_like(values, float("nan")), values)
    assert torch.equal(filled, inpaint.fill(spoilt, mask))
    assert torch.equal(torch.where(mask > 0, 0, filled), torch.where(mask > 0, 0, values))
    assert filled.abs().max() <= values.abs().max() + 1e-6  # harmonic: no new extremes


def test_a_slope_goes_on_through_a_hole():
    slope = torch.linspace(-1, 1, 64).expand(1, 64, 64).contiguous()
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 24:44] = 1
    assert (inpaint.fill(slope, mask) - slope).abs().max() < 0.08


def test_frames_that_are_missing_whole_lie_between_their_neighbours():
    clip = torch.linspace(-1, 1, 17).view(1, 17, 1, 1).expand(1, 17, 8, 8).contiguous()
    mask = torch.zeros_like(clip)
    mask[:, 1::2] = 1
    assert (inpaint.fill(clip, mask) - clip)[:, 2:-2].abs().max() < 0.05


# ------------------------------------------------------------ reading


def test_a_mask_hides_what_is_white_and_its_pixels_do_not_matter(tmp_path):
    draw(tmp_path / "a.png", (96, 64))
    mask = np.zeros((64, 96), np.uint8)
    mask[10:30, 40:70] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    spoilt = np.array(Image.open(tmp_path / "a.png"))
    spoilt[mask > 0] = (255, 0, 255)
    Image.fromarray(spoilt).save(tmp_path / "b.png")
    one, other = (read(tmp_path / f"{name}.png", mask=tmp_path / "mask.png", side=48) for name in "ab")
    assert torch.equal(one.pixels, other.pixels)
    assert one.mask.shape == (1, *one.size)
    assert float(one.mask.mean()) == pytest.approx(20 * 30 / 64 / 96, rel=0.1)


def test_a_grey_picture_stays_grey_whatever_its_mask_hides(tmp_path):
    grey = np.repeat(np.random.default_rng(0).integers(0, 255, (64, 64, 1), np.uint8), 3, 2)
    grey[:8] = (255, 0, 0)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.where(np.arange(64)[:, None] < 8, 255, 0).repeat(64, 1).astype(np.uint8)).save(
        tmp_path / "m.png"
    )
    assert read(tmp_path / "a.png", mask=tmp_path / "m.png").pixels.shape[0] == 1


def test_masks_of_clips_are_a_picture_or_a_clip(tmp_path):
    random = np.random.default_rng(0)
    for name in ("clip", "masks"):
        (tmp_path / name).mkdir()
    for n in range(32):
        Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "clip" / f"{n}.png")
        Image.fromarray(np.full((64, 64), 255 * (n % 2), np.uint8)).save(tmp_path / "masks" / f"{n}.png")
    half = read(tmp_path / "clip", mask=tmp_path / "masks")
    assert half.mask[:, 1::2].min() == 1
    assert half.mask[:, ::2].max() == 0
    region = np.zeros((64, 64), np.uint8)
    region[:16] = 255
    Image.fromarray(region).save(tmp_path / "region.png")
    assert read(tmp_path / "clip", mask=tmp_path / "region.png").facts["missing"] == 0.25


# ------------------------------------------------------------ learning


def test_hidden_pixels_never_touch_the_model(exemplar, recipe):
    """Whatever hides there, the same bits are learnt: reading leaves a guess from what is visible, and no more."""
    mask = speckles(exemplar)
    one = replace(exemplar, pixels=inpaint.fill(exemplar.pixels, mask), mask=mask)
    spoilt = torch.where(mask > 0, torch.rand(exemplar.pixels.shape) * 2 - 1, exemplar.pixels)
    other = replace(exemplar, pixels=inpaint.fill(spoilt, mask), mask=mask)
    learnt = [weights(learn(each, recipe)[0]) for each in (one, other)]
    assert all(torch.equal(learnt[0][name], learnt[1][name]) for name in learnt[0])
    whole = weights(learn(exemplar, recipe)[0])
    assert not all(torch.equal(learnt[0][name], whole[name]) for name in whole)


def test_what_is_hidden_adds_nothing_to_the_reconstruction(triangle):
    x = torch.rand(2, triangle.modality.channels, *triangle.modality.window) * 2 - 1
    z = torch.randn(2, *triangle.latent_shape(triangle.modality.window))
    visible = (torch.rand(2, 1, *triangle.modality.window) < 0.5).float()
    found = triangle.losses(x, z, z, visible=visible)
    error = (x - found.decoded).square() * visible
    expected = error.flatten(1).sum(1).mean() / (2 * 0.3**2)
    torch.testing.assert_close(found.terms["reconstruction"], expected)


def test_estimates_move_and_what_is_visible_stays(exemplar, recipe):
    masked = replace(exemplar, mask=speckles(exemplar))
    _, state = learn(masked, replace(recipe, steps=8))
    before, after = masked.pixels, state.pixels([masked])[0]
    assert torch.equal(torch.where(masked.mask > 0, 0, after), torch.where(masked.mask > 0, 0, before))
    assert (after - before).abs().max() > 0.01
    assert torch.equal(masked.pixels, replace(exemplar).pixels)


def test_estimates_come_nearer_the_truth_than_a_smooth_guess():
    modality = KINDS["still"]
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    truth = torch.stack([torch.sin(0.9 * x + 0.4 * k) * torch.cos(0.7 * y) for k in range(3)]) * 0.8
    mask = torch.zeros(1, 48, 48)
    mask[:, 18:27, 18:27] = 1
    masked = Exemplar(inpaint.fill(truth, mask), modality, mask=mask)
    _, state = learn(masked, Recipe(steps=400, batch_size=2, learning_rate=3e-3, precision="float32"))
    errors = [float(((each - truth).square() * mask).sum()) for each in (masked.pixels, state.pixels([masked])[0])]
    assert errors[1] < 0.8 * errors[0]


def test_a_resumed_fit_with_holes_equals_an_unbroken_one(tmp_path, exemplar, recipe):
    masked = replace(exemplar, mask=speckles(exemplar), facts={"name": "waves", "fps": 10.0})
    ends = []
    for name, stops in (("one", [None]), ("two", [4, None])):
        run = Run.create(tmp_path / name, masked, recipe)
        for stop in stops:
            triangle = run.fresh()
            for report in run.learn(triangle, run.exemplars(), recipe, print):
                if report.step == stop:
                    break
        ends.append(weights(triangle) | report.state.tensors())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert any(name.startswith("estimate") for name in ends[0])
    assert torch.equal(run.exemplars()[0].mask, masked.mask)


def test_an_objective_without_reconstruction_cannot_estimate(exemplar, recipe):
    with pytest.raises(TexsynError, match="estimated by reconstruction") as caught:
        loop.create(replace(exemplar, mask=speckles(exemplar)), replace(recipe, reconstruction=0.0))
    assert caught.value.exit is Exit.USAGE


# ------------------------------------------------------------ completing and reconstructing


@pytest.fixture
def texture(triangle) -> torch.Tensor:
    return torch.rand(triangle.modality.channels, *triangle.modality.window) * 1.6 - 0.8


def test_completing_changes_only_what_is_hidden_and_does_not_look_at_it(triangle, texture):
    mask = torch.zeros(1, *texture.shape[1:])
    mask[..., 3:9, 4:11] = 1
    done = inversion.complete(triangle, texture, mask, refine=3)
    assert torch.equal(torch.where(mask > 0, 0, done), torch.where(mask > 0, 0, texture))
    spoilt = torch.where(mask > 0, torch.full_like(texture, 0.9), texture)
    assert torch.equal(done, inversion.complete(triangle, spoilt, mask, refine=3))
    assert done.abs().max() <= 1


def test_a_hole_has_no_step_at_its_rim():
    """However wrong the generator is, what it makes meets its surroundings."""
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    flat = torch.full((3, 32, 32), 0.7)
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    done = inversion.complete(triangle, flat, mask, refine=0, seed=None)
    decoded = inversion.reconstruct(triangle, torch.where(mask > 0, done, flat))
    rim = (done[:, 8, 8:24] - done[:, 7, 8:24]).abs().mean()
    assert rim < 0.5 * (decoded[:, 8, 8:24] - flat[:, 7, 8:24]).abs().mean()


def test_a_large_hole_is_filled_anew_for_each_seed():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    texture = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    mask = torch.zeros(1, 48, 48)
    mask[:, 8:40, 8:40] = 1
    inside = (slice(None), slice(16, 32), slice(16, 32))
    likeliest, one, other = (inversion.complete(triangle, texture, mask, seed=s, refine=20) for s in (None, 1, 2))
    assert not torch.allclose(one[inside], other[inside], atol=0.02)
    assert not torch.allclose(one[inside], likeliest[inside], atol=0.02)
    assert torch.equal(one, inversion.complete(triangle, texture, mask, seed=1, refine=20))
    small = torch.zeros(1, 48, 48)
    small[:, 9, 9] = 1
    assert torch.equal(inversion._unknown(triangle, small[None]).any(), torch.tensor(False))


def test_what_frames_share_is_unknown_where_all_of_them_is_hidden():
    triangle = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    frame = (
        triangle.design.latent_channels - triangle.design.frame_latents[0] * triangle.design.frame_latent_grids[0][0]
    )
    mask = torch.zeros(1, 1, 8, 16, 16)
    mask[:, :, :4] = 1  # the frames of the first latent position
    mask[:, :, 4:, :8] = 1
    unknown = inversion._unknown(triangle, mask)[0, frame:]
    assert bool(unknown[:, 0].all())
    assert not bool(unknown[:, 1].any())


def test_refining_finds_the_field_of_a_sample():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    z = torch.randn(1, *triangle.latent_shape((24, 24)), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        x = inversion._make(triangle, z, None)[0]
    errors = [float((inversion.reconstruct(triangle, x, refine=n) - x).square().mean()) for n in (0, 20, 200)]
    assert errors[0] > errors[1] > errors[2]


def test_sizes_off_the_grid_are_reconstructed_too():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    for size in ((17, 30), (4, 4), (1, 9)):
        assert inversion.reconstruct(triangle, torch.zeros(3, *size)).shape == (3, *size)


def test_what_does_not_fit_is_refused():
    clip = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    with pytest.raises(TexsynError, match="takes 16 pixels, not 20"):
        inversion.reconstruct(clip, torch.zeros(3, 8, 20, 16))
    with pytest.raises(TexsynError, match="3 channel"):
        inversion.reconstruct(clip, torch.zeros(1, 8, 16, 16))


# ------------------------------------------------------------ on the command line


SMALL = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card", "--quiet"]


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holed")
    draw(folder / "waves.png")
    for name, value in (("white", 255), ("black", 0)):
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(folder / f"{name}.png")
    part = np.zeros((64, 64), np.uint8)
    part[20:40, 20:40] = 255
    Image.fromarray(part).save(folder / "part.png")
    Image.fromarray(part[:50]).save(folder / "small.png")
    arguments = ["fit", folder / "waves.png", "--mask", folder / "part.png", "--out", folder / "run", "--steps", 2]
    assert main([str(a) for a in (*arguments, *SMALL)]) == 0
    return folder


def run(capsys, *arguments: object) -> tuple[int, list[str], str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_run_with_a_hole_is_completed(holed, tmp_path, capsys):
    assert texsyn.Run.open(holed / "run").facts[0]["missing"] == pytest.approx(400 / 4096, abs=1e-3)
    code, out, _ = run(capsys, "complete", holed / "run", "-o", tmp_path / "own.png", "--refine", 2)
    assert (code, out) == (0, [str(tmp_path / "own.png")])
    image = ["complete", holed / "run", holed / "waves.png", "--mask", holed / "part.png", "--refine", 2]
    assert run(capsys, *image, "-o", tmp_path / "named.png")[0] == 0
    found, original = (np.array(Image.open(p)) for p in (tmp_path / "named.png", holed / "waves.png"))
    part = np.array(Image.open(holed / "part.png")) > 0
    assert np.array_equal(found[~part], original[~part])
    assert not np.array_equal(found[part], original[part])


def test_reconstruct_prints_its_error(holed, tmp_path, capsys):
    code, out, err = run(capsys, "reconstruct", holed / "run", holed / "waves.png", "-o", tmp_path / "again.png")
    assert (code, out) == (0, [str(tmp_path / "again.png")])
    error = float(err.split()[2])
    found, original = (np.array(Image.open(p)) / 255 for p in (tmp_path / "again.png", holed / "waves.png"))
    assert error == pytest.approx(((found - original) ** 2).mean(), rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fit", "waves.png", "--mask", "white.png"], 3, "hides everything"),
        (["fit", "waves.png", "--mask", "black.png"], 3, "hides nothing"),
        (["fit", "waves.png", "--mask", "small.png"], 3, "small.png is 64 x 50, but waves.png is 64 x 64"),
        (["fit", "waves.png", "--mask", "nowhere.png"], 3, "no such file"),
        (["fit", "waves.png", "white.png", "--mask", "part.png"], 3, "one exemplar"),
        (["fit", "waves.png", "--mask", "part.png", "--objective", "acd"], 2, "reconstruction"),
        (["complete", "run", "waves.png"], 3, "nothing is missing"),
        (["complete", "run", "--mask", "part.png"], 2, "goes with an IMAGE"),
        (["complete", "run", "waves.png", "--mask", "white.png"], 3, "hides everything"),
        (["complete", "run", "{fire}", "--mask", "part.png"], 3, "is a clip in 1 file(s), but this run is of a still"),
        (["reconstruct", "run", "waves.png", "--refine", "-1"], 2, "--refine"),
        (["reconstruct", "waves.png", "waves.png"], 3, "is not a run"),
    ],
)
def test_bad_masks_and_images_are_one_line(holed, tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(holed)
    before = sorted(str(p) for p in holed.rglob("*"))
    fire = texsyn.__file__.replace("texsyn/__init__.py", "videos/fire.mp4")
    found, out, err = run(capsys, *(a.format(fire=fire) for a in arguments))
    assert (found, out) == (code, [])
    assert said in err
    assert err.count("\n") == 1
    assert sorted(str(p) for p in holed.rglob("*")) == before
