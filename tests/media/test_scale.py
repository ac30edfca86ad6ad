"""How large what a still shows is, and the levels that follow."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import VIDEOS, draw

from texsyn.media import scale
from texsyn.media.reader import read
from texsyn.media.writing import write


def blobs(deviation: float, size: int = 224) -> torch.Tensor:
    """Noise blurred by a Gaussian, `3 y x`: correlated by exp(-d^2 / (4 deviation^2))."""
    at = torch.arange(-3 * int(deviation) - 1, 3 * int(deviation) + 2).float()
    kernel = (-((at / deviation) ** 2) / 2).exp()
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    reach = len(at) // 2
    noise = F.conv2d(F.pad(noise, (reach,) * 4, "circular"), kernel[..., None, :] * kernel[..., :, None], groups=3)
    return noise[0] / noise.std()


def save(pixels: torch.Tensor, path: Path) -> None:
    write((pixels / 4).clamp(-1, 1), path)


@pytest.mark.parametrize("deviation", [1.0, 2.0, 4.0])
def test_a_correlation_length_is_where_the_correlation_falls_to_a_fifth(deviation):
    assert scale.correlation_length(blobs(deviation)) == pytest.approx(2.537 * deviation, rel=0.1)


def test_slow_light_does_not_make_it_longer():
    light = 3 * torch.linspace(-1, 1, 224).expand(3, 224, 224)
    assert scale.correlation_length(blobs(2.0) + light) == pytest.approx(scale.correlation_length(blobs(2.0)), rel=0.15)


def test_a_flat_still_has_a_length():
    assert scale.correlation_length(torch.zeros(3, 224, 224)) > 0


@pytest.mark.parametrize(("deviation", "factors"), [(1.5, ()), (3.0, ()), (6.0, (2,)), (14.0, (4,))])
def test_the_larger_what_it_shows_the_more_is_reduced(deviation, factors, tmp_path):
    save(blobs(deviation, 704), tmp_path / "blobs.png")
    found = read(tmp_path / "blobs.png")
    assert (found.modality.factors, found.size) == (factors, (704, 704))
    assert found.facts["elements"] == pytest.approx(2 * 2.537 * deviation, rel=0.25)


def test_small_and_masked_stills_are_learnt_at_the_usual_size(tmp_path):
    save(blobs(6.0, 440), tmp_path / "small.png")
    save(blobs(6.0, 704), tmp_path / "large.png")
    draw(tmp_path / "mask.png", (704, 704))
    found = [
        read(tmp_path / "small.png"),
        read(tmp_path / "large.png", side=224),
        read(tmp_path / "large.png", levels=0),
        read(tmp_path / "large.png", mask=tmp_path / "mask.png"),
        read(VIDEOS / "fire.mp4"),
    ]
    assert {each.modality.factors for each in found} == {()}
    assert [min(each.size[-2:]) for each in found] == [224] * 4 + [64]
