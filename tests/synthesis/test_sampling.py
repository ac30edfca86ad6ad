"""Samples: seeds, sizes, exact tiles and loops."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import KINDS, lively

from texsyn import Run, TexsynError
from texsyn.core.modality import Modality
from texsyn.models.triangle import Triangle
from texsyn.runs.fitting import fit_run
from texsyn.synthesis import sampling
from texsyn.synthesis.latent_field import End, SampledField


def coarser(kind: str, **fields: Any) -> Modality:
    """With a latent position for twice as many pixels along each axis: nearly all of the time is draws of these."""
    modality, local = KINDS[kind], KINDS[kind].designs["local"]
    more = {name: (getattr(local, name)[0], *getattr(local, name)) for name in ("generator", "posterior")}
    local = replace(local, **more, **fields)
    return replace(modality, designs={"local": local, "paper": local})


# One latent field, as surfaces have: with several, pieces that are joined along three axes are most of the memory.
LARGE = {"still": coarser("still"), "surface": coarser("flipbook", latents=(3,))}


@pytest.fixture
def still() -> Triangle:
    return lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))


@pytest.fixture
def clip() -> Triangle:
    return lively(Triangle(KINDS["clip"], KINDS["clip"].designs["local"]))


def latents(triangle: Triangle, seed: int, grid: tuple[int, ...]) -> torch.Tensor:
    """The whole field of a seed's texture."""
    return SampledField(triangle, End(seed), grid).rows(range(grid[0]))


def test_a_seed_is_a_texture_and_counts_follow_seeds(triangle):
    three = sampling.sample(triangle, count=3, seed=4)
    assert three.shape == (3, triangle.modality.channels, *triangle.modality.size)
    assert torch.equal(three[2], sampling.sample(triangle, seed=6)[0])
    assert not torch.equal(three[0], three[1])
    assert three.abs().max() <= 1


def test_sampling_needs_no_gradients_and_leaves_the_mode_alone(triangle):
    triangle.train()
    assert not sampling.sample(triangle).requires_grad
    assert triangle.generator.training


def test_half_precision_samples_the_same_texture(triangle):
    """Samples of real models differ by 0.3 of 255 levels in the mean (FINDINGS.md), those of these weights by more."""
    exact = sampling.sample(triangle, seed=2)
    triangle.design = replace(triangle.design, precision="bfloat16")
    found = sampling.sample(triangle, seed=2)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().mean() < 0.02


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (4, 64)])
def test_any_multiple_of_the_stride_wraps_exactly(still, size):
    """The texture of a rolled field is the rolled texture, so its borders are neighbours like any others."""
    grid = (size[1] // 4, size[0] // 4)
    z = latents(still, 3, grid)
    whole = sampling.sample(still, seed=3, size=size)[0]
    rolled = still.synthesize(z.roll((1, 1), (2, 3)))[0]
    torch.testing.assert_close(rolled, whole.roll((4, 4), (1, 2)), rtol=1e-5, atol=1e-6)


def test_odd_sizes_are_reached_on_the_torus(still):
    for size in ((30, 17), (1, 1), (2, 3), (33, 64)):
        assert sampling.sample(still, size=size).shape[2:] == size[::-1]


def test_an_axis_that_does_not_tile_is_a_piece_of_a_larger_torus(still):
    free = sampling.sample(still, seed=2, tile="none")[0]
    torus = sampling.sample(still, seed=2, size=(28, 28))[0]
    assert torch.equal(free, torus[:, :16, :16])


def test_tiling_one_axis_leaves_the_other_free(still):
    x = sampling.sample(still, seed=2, tile="x")[0]
    assert torch.equal(x, sampling.sample(still, seed=2, size=(16, 28))[0][:, :16])


def test_clips_loop_and_have_any_length(clip):
    for frames in (8, 32, 20):
        assert sampling.sample(clip, frames=frames).shape == (1, 3, frames, 16, 16)
    looping = sampling.sample(clip, seed=1, frames=32)[0]
    z = latents(clip, 1, (8, 4, 4))
    rolled = clip.synthesize(z.roll(1, 2))[0]
    torch.testing.assert_close(rolled, looping.roll(4, 1), rtol=1e-5, atol=1e-6)
    cut = sampling.sample(clip, seed=1, frames=20, loop=False)[0]
    assert torch.equal(cut, sampling.sample(clip, seed=1, frames=32)[0][:, :20])


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("still", {"frames": 8}, "for clips"),
        ("clip", {"size": (32, 16)}, "fixed"),
        ("clip", {"tile": "x"}, "cannot tile along x"),
        ("still", {"tile": "diagonal"}, "--tile"),
        ("still", {"size": (70_000, 70_000)}, "too large to return in one piece"),
        ("still", {"size": (10**7, 16)}, "size must lie in"),
    ],
)
def test_what_a_kind_cannot_do_is_refused(kind, asked, message):
    with pytest.raises(TexsynError, match=message):
        sampling.sample(lively(Triangle(KINDS[kind], KINDS[kind].designs["local"])), **asked)


PEAK = """
import sys
from pathlib import Path
from texsyn import cli
code = cli.main(sys.argv[1:])
print(*[line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")])
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's peak memory as Linux tells it")
@pytest.mark.parametrize(
    ("modality", "ending", "few", "many"),
    [(LARGE["still"], "png", (8192, 512), (32768, 512)), (LARGE["surface"], "mp4", (1024, 64, 64), (6144, 64, 64))],
    ids=LARGE,
)
def test_memory_does_not_grow_with_what_is_written(tmp_path, exemplar, recipe, ending, few, many):
    run = Run.create(tmp_path / "run", exemplar, replace(recipe, steps=1))
    for _ in fit_run(run, run.fresh(), exemplar, run.recipe, print):
        pass
    peaks = []
    for *frames, height, width in (few, many):
        command = ["sample", run.path, "--size", f"{width}x{height}", "-o", tmp_path / f"{len(peaks)}.{ending}"]
        command += ["--frames", *frames] if frames else []
        child = subprocess.run([sys.executable, "-c", PEAK, *map(str, command)], capture_output=True, check=True)
        peaks.append(1000 * int(child.stdout.split()[-1]))
    # far enough apart that a peak's own noise, 40 MB, is no part of the answer
    floats = 4 * 3 * (math.prod(many) - math.prod(few))
    assert peaks[1] - peaks[0] < floats / 3, peaks


def test_normals_of_samples_have_length_one_at_any_size():
    triangle = lively(Triangle(KINDS["material"], KINDS["material"].designs["local"], seed=1))
    for size in ((32, 32), (45, 37)):
        vectors = sampling.sample(triangle, size=size)[0, 3:]
        torch.testing.assert_close(vectors.norm(dim=0), torch.ones(size[::-1]))
