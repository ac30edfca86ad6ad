"""Several exemplars in one model, morphs between them and between seeds, and blends from left to right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS, VIDEOS, draw, lively
from PIL import Image

from texsyn import End, Run, TexsynError, across, morph
from texsyn.cli.entry import main
from texsyn.media.exemplar import Exemplar, random_places, together
from texsyn.media.reader import read, read_all
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling
from texsyn.synthesis.latent_field import SampledField
from texsyn.training import loop
from texsyn.training.data import seeded_generator


@pytest.fixture
def pair(modality) -> Triangle:
    return lively(Triangle(modality, replace(modality.designs["local"], exemplars=2), seed=1))


def test_the_label_makes_a_difference_to_what_is_made_and_how_it_is_judged(pair):
    one, other = (sampling.sample(pair, seed=3, exemplar=n) for n in (0, 1))
    assert (one - other).abs().max() > 1e-3
    window = pair.modality.window
    x = torch.rand(2, pair.modality.channels, *window)
    assert not torch.allclose(pair.energy(x, pair.labels([0, 0])), pair.energy(x, pair.labels([1, 1])), rtol=1e-3)
    with pytest.raises(TexsynError, match="knows 2 exemplar"):
        sampling.sample(pair, exemplar=2)


def test_the_written_out_gradient_holds_with_labels(pair):
    energy = pair.energy.double()
    x = torch.rand(2, pair.modality.channels, *pair.modality.window, dtype=torch.float64, requires_grad=True)
    labels = pair.labels([0, 1]).double()
    (gradient,) = torch.autograd.grad(energy(x, labels).sum(), x)
    torch.testing.assert_close(energy.with_gradient(x.detach(), labels)[1], gradient)


def test_exemplars_take_turns_and_each_window_comes_from_its_own():
    sizes = [(20, 20), (40, 30), (16, 16)]
    chosen = random_places(sizes, (16, 16), 1, 7, seeded_generator(0, "crop", 5))
    assert [number for number, _ in chosen] == [1, 2, 0, 1, 2, 0, 1]
    for number, (_, *cuts) in chosen:
        assert all(c.stop - c.start == 16 and c.stop <= size for c, size in zip(cuts, sizes[number], strict=True))


def test_two_exemplars_are_told_apart(recipe):
    """Dark and light: the label alone says which, for what is made and for the corrections."""
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


def test_exemplars_are_brought_together():
    small, large = read(VIDEOS / "gravel.png", side=96), read(VIDEOS / "beans.png")
    found = together(small, large)
    assert {each.modality.window for each in found} == {(96, 96)}
    assert {each.pixels.shape[0] for each in found} == {3}
    with pytest.raises(TexsynError, match="one model learns one kind"):
        together(small, read(VIDEOS / "fire.mp4"))


def test_grey_joins_colour(tmp_path):
    draw(tmp_path / "colour.png")
    draw(tmp_path / "grey.png", change=lambda image: image.convert("L"))
    found = read_all([tmp_path / "grey.png", tmp_path / "colour.png"])
    assert [each.pixels.shape[0] for each in found] == [3, 3]
    assert torch.equal(found[0].pixels[0], found[0].pixels[2])


def test_a_map_of_normals_makes_a_material_and_nothing_else_does():
    (material,) = read_all([VIDEOS / "pebbles.png", VIDEOS / "pebbles-normal.png"])
    assert material.modality.name == "material"
    assert [each.name for each in read_all([VIDEOS / "pebbles.png", VIDEOS / "gravel.png"])] == [
        "pebbles",
        "gravel",
    ]


# ------------------------------------------------------------ morphs


@pytest.fixture(params=["still", "material"])
def flat(request) -> Triangle:
    return lively(Triangle(KINDS[request.param], KINDS[request.param].designs["local"], seed=1))


def test_a_morph_begins_and_ends_with_its_seeds(flat):
    frames = list(morph(flat, End(3), End(8), frames=5, loop=False, size=(32, 16)))
    assert [frame.shape for frame in frames] == [(flat.modality.channels, 1, 16, 32)] * 5
    for frame, seed in ((frames[0], 3), (frames[-1], 8)):
        torch.testing.assert_close(
            frame[:, 0], sampling.sample(flat, seed=seed, size=(32, 16))[0], rtol=1e-4, atol=1e-5
        )


def test_a_looping_morph_goes_there_and_back(flat):
    frames = list(morph(flat, End(3), End(8), frames=8))
    torch.testing.assert_close(frames[4][:, 0], sampling.sample(flat, seed=8)[0], rtol=1e-4, atol=1e-5)
    for n in range(1, 4):
        torch.testing.assert_close(frames[n], frames[8 - n], rtol=1e-4, atol=1e-5)


def test_every_moment_of_a_morph_is_drawn_from_the_prior():
    still = Triangle(KINDS["still"], KINDS["still"].designs["local"])
    for share in (0.0, 0.3, 0.5, 1.0):
        field = SampledField(still, End(1), (64, 64), End(2), 0, (share,)).rows(range(64))
        assert float(field.std()) == pytest.approx(1, abs=0.02)
        assert float(field.mean()) == pytest.approx(0, abs=0.02)


def test_a_clip_morphs_as_it_plays_and_loops():
    clip = lively(Triangle(KINDS["flipbook"], KINDS["flipbook"].designs["local"], seed=1))
    made = torch.cat(list(morph(clip, End(1), End(2), frames=64)), 1)
    assert made.shape == (3, 64, 16, 16)
    start, end = (sampling.sample(clip, seed=seed, frames=64)[0] for seed in (1, 2))
    assert (made - start).abs()[:, :2].mean() < 0.3 * (made - end).abs()[:, :2].mean()
    assert (made - end).abs()[:, 31:33].mean() < 0.3 * (made - start).abs()[:, 31:33].mean()


def test_across_has_one_end_on_each_side_and_tiles_from_top_to_bottom():
    still = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    made = torch.cat(list(across(still, End(1), End(2), size=(160, 32))), 1)
    assert made.shape == (3, 32, 160)
    clip = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    with pytest.raises(TexsynError, match="no left"):
        across(clip, End(1), End(2))
    ramp = sampling._ramp(8, 11)
    assert ramp[:2] == [0, 0]
    assert ramp[6:8] == [1, 1]
    assert ramp == [*sorted(ramp[:8]), 1, 0.5, 0]


# ------------------------------------------------------------ on the command line


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    draw(folder / "waves.png")
    draw(folder / "dark.png", (80, 64), lambda image: image.point(lambda v: v // 3))
    small = ["--steps", "2", "--set", "width_multiplier=0.1", "--set", "batch_size=2", "--no-card", "--quiet"]
    arguments = ["fit", str(folder / "waves.png"), str(folder / "dark.png"), "--out", str(folder / "run"), *small]
    assert main(arguments) == 0
    return folder / "run"


def run(capsys, *arguments: object) -> tuple[int, list[str], str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_run_of_two_is_sampled_by_name_and_resumed(two, tmp_path, capsys):
    assert Run.open(two).names() == ["waves", "dark"]
    for name in ("waves", "dark"):
        assert run(capsys, "sample", two, "--exemplar", name, "-o", tmp_path / f"{name}.png")[0] == 0
    pictures = [np.array(Image.open(tmp_path / f"{name}.png")).mean() for name in ("waves", "dark")]
    assert pictures[1] < pictures[0]
    assert run(capsys, "fit", "--resume", two, "--steps", 3, "--quiet")[0] == 0
    info = run(capsys, "info", two)[1]
    assert any("waves" in line for line in info)


def test_morphs_and_blends_are_written(two, tmp_path, capsys):
    out = tmp_path / "m.gif"
    assert run(capsys, "morph", two, "--from", "waves", "--to", "dark:4", "--frames", 6, "-o", out)[:2] == (
        0,
        [str(out)],
    )
    with Image.open(out) as image:
        assert image.n_frames == 6
    out = tmp_path / "a.png"
    assert run(capsys, "morph", two, "--from", 1, "--to", "dark", "--across", "--size", "128x64", "-o", out)[0] == 0
    with Image.open(out) as image:
        assert image.size == (128, 64)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["morph", "{two}", "--from", "1", "--to", "1"], 2, "the same"),
        (["morph", "{two}", "--from", "1", "--to", "light"], 2, "none of waves, dark"),
        (["morph", "{two}", "--from", "1", "--to", "2", "--frames", "1"], 2, "at least 2 frames"),
        (["morph", "{two}", "--from", "1", "--to", "2", "--across", "--tile", "xy"], 2, "cannot tile along x"),
        (["sample", "{two}", "--exemplar", "light"], 2, "learnt waves, dark, but no light"),
        (["sample", "{two}", "--size", "900000x900000"], 5, "GB would be written"),
    ],
)
def test_bad_morphs_are_one_line(two, tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, *(a.format(two=two) for a in arguments))
    assert (found, out) == (code, [])
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
