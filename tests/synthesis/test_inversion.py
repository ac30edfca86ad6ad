"""Textures are reconstructed, and completed where a mask says that pixels are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import KINDS, SMALL, draw, lively
from PIL import Image

import texsyn
from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.models.triangle import Triangle
from texsyn.synthesis import inversion


@pytest.fixture
def texture(triangle) -> torch.Tensor:
    return torch.rand(triangle.modality.channels, *triangle.modality.window) * 1.6 - 0.8


def test_completing_changes_only_masked_pixels_and_ignores_their_values(triangle, texture):
    mask = torch.zeros(1, *texture.shape[1:])
    mask[..., 3:9, 4:11] = 1
    done = inversion.complete(triangle, texture, mask, refine=3)
    assert torch.equal(torch.where(mask > 0, 0, done), torch.where(mask > 0, 0, texture))
    spoilt = torch.where(mask > 0, torch.full_like(texture, 0.9), texture)
    assert torch.equal(done, inversion.complete(triangle, spoilt, mask, refine=3))
    assert done.abs().max() <= 1


def test_a_hole_has_no_step_at_its_border():
    """However wrong the generator is, its pixels continue those around the mask."""
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    flat = torch.full((3, 32, 32), 0.7)
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    done = inversion.complete(triangle, flat, mask, refine=0, seed=None)
    decoded = inversion.reconstruct(triangle, torch.where(mask > 0, done, flat))
    step = (done[:, 8, 8:24] - done[:, 7, 8:24]).abs().mean()
    assert step < 0.5 * (decoded[:, 8, 8:24] - flat[:, 7, 8:24]).abs().mean()


def test_a_large_hole_gets_another_texture_for_each_seed():
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
    assert torch.equal(inversion._unknown_latents(triangle, small[None]).any(), torch.tensor(False))


def test_latents_that_frames_share_are_unknown_where_whole_frames_are_masked():
    triangle = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    frame = (
        triangle.design.latent_channels - triangle.design.frame_latents[0] * triangle.design.frame_latent_grids[0][0]
    )
    mask = torch.zeros(1, 1, 8, 16, 16)
    mask[:, :, :4] = 1  # the frames of the first latent position
    mask[:, :, 4:, :8] = 1
    unknown = inversion._unknown_latents(triangle, mask)[0, frame:]
    assert bool(unknown[:, 0].all())
    assert not bool(unknown[:, 1].any())


def test_refining_recovers_a_decoded_field():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    z = torch.randn(1, *triangle.latent_shape((24, 24)), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        x = inversion._decode_encoded(triangle, z, None)[0]
    errors = [float((inversion.reconstruct(triangle, x, refine=n) - x).square().mean()) for n in (0, 20, 200)]
    assert errors[0] > errors[1] > errors[2]


def test_sizes_that_the_stride_does_not_divide_are_reconstructed():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    for size in ((17, 30), (4, 4), (1, 9)):
        assert inversion.reconstruct(triangle, torch.zeros(3, *size)).shape == (3, *size)


def test_textures_of_another_kind_are_refused():
    clip = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    with pytest.raises(TexsynError, match="fixed size of 16 pixels, so it cannot take 20"):
        inversion.reconstruct(clip, torch.zeros(3, 8, 20, 16))
    with pytest.raises(TexsynError, match="3 channel"):
        inversion.reconstruct(clip, torch.zeros(1, 8, 16, 16))


# ------------------------------------------------------------ on the command line


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    draw(folder / "waves.png")
    for name, value in (("white", 255), ("black", 0)):
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(folder / f"{name}.png")
    part = np.zeros((64, 64), np.uint8)
    part[20:40, 20:40] = 255
    Image.fromarray(part).save(folder / "part.png")
    Image.fromarray(part[:50]).save(folder / "small.png")
    arguments = ["fit", folder / "waves.png", "--mask", folder / "part.png", "--out", folder / "run", "--steps", 2]
    assert main([str(a) for a in (*arguments, *SMALL, "--quiet")]) == 0
    return folder


def run(capsys, *arguments: object) -> tuple[int, list[str], str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_the_exemplar_of_a_masked_run_is_completed(masked_run, tmp_path, capsys):
    assert texsyn.Run.open(masked_run / "run").facts[0]["masked"] == pytest.approx(400 / 4096, abs=1e-3)
    code, out, _ = run(capsys, "complete", masked_run / "run", "-o", tmp_path / "own.png", "--refine", 2)
    assert (code, out) == (0, [str(tmp_path / "own.png")])
    image = ["complete", masked_run / "run", masked_run / "waves.png", "--mask", masked_run / "part.png", "--refine", 2]
    assert run(capsys, *image, "-o", tmp_path / "named.png")[0] == 0
    found, original = (np.array(Image.open(p)) for p in (tmp_path / "named.png", masked_run / "waves.png"))
    part = np.array(Image.open(masked_run / "part.png")) > 0
    assert np.array_equal(found[~part], original[~part])
    assert not np.array_equal(found[part], original[part])


def test_reconstruct_prints_its_error(masked_run, tmp_path, capsys):
    code, out, err = run(
        capsys, "reconstruct", masked_run / "run", masked_run / "waves.png", "-o", tmp_path / "again.png"
    )
    assert (code, out) == (0, [str(tmp_path / "again.png")])
    error = float(err.split()[3])
    found, original = (np.array(Image.open(p)) / 255 for p in (tmp_path / "again.png", masked_run / "waves.png"))
    assert error == pytest.approx(((found - original) ** 2).mean(), rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "waves.png", "--mask", "white.png"], 3, "masks everything"),
        (["fit", "waves.png", "--mask", "black.png"], 3, "masks nothing"),
        (["fit", "waves.png", "--mask", "small.png"], 3, "small.png is 64 x 50, but waves.png is 64 x 64"),
        (["fit", "waves.png", "--mask", "nowhere.png"], 3, "no such file"),
        (["fit", "waves.png", "white.png", "--mask", "part.png"], 3, "one exemplar"),
        (["fit", "waves.png", "--mask", "part.png", "--objective", "acd"], 2, "reconstruction"),
        (["complete", "run", "waves.png"], 3, "no pixels of this image are masked"),
        (["complete", "run", "--mask", "part.png"], 2, "goes with an IMAGE"),
        (["complete", "run", "waves.png", "--mask", "white.png"], 3, "masks everything"),
        (["complete", "run", "{fire}", "--mask", "part.png"], 3, "is a clip in 1 file(s), but this run is of a still"),
        (["reconstruct", "run", "waves.png", "--refine", "-1"], 2, "--refine"),
        (["reconstruct", "waves.png", "waves.png"], 3, "is not a run"),
    ],
)
def test_bad_masks_and_images_are_one_line(masked_run, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(masked_run)
    before = sorted(str(p) for p in masked_run.rglob("*"))
    fire = texsyn.__file__.replace("texsyn/__init__.py", "videos/fire.mp4")
    found, out, err = run(capsys, *(a.format(fire=fire) for a in arguments))
    assert (found, out) == (code, [])
    assert message in err
    assert err.count("\n") == 1
    assert sorted(str(p) for p in masked_run.rglob("*")) == before
