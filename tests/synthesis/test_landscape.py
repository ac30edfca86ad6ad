"""The energy's landscape: descents, barriers, basins."""

import json

import pytest
import torch
from conftest import KINDS, SMALL, draw, lively

import texsyn
from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.models.triangle import Triangle
from texsyn.synthesis.landscape import Landscape


def two_wells() -> Landscape:
    """Ends 0 and 1 share a basin; 2 lies behind a barrier."""
    starts = torch.tensor([0.0, 0.1, 4.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    ends = torch.tensor([0.0, 0.1, 9.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    barriers = torch.tensor([[0.0, -0.99, 0.5], [-0.99, 0.0, 0.4], [0.5, 0.4, 0.0]])
    return Landscape(("crop 0", "crop 0", "sample 0"), starts, ends, (-0.5, -0.4, 0.6), (-1.0, -1.0, -0.5), barriers)


def test_single_linkage_joins_over_the_lowest_barriers():
    found = two_wells()
    assert [(low, high) for low, high, _ in found.merges] == [(0, 1), (0, 2)]
    assert [barrier for *_, barrier in found.merges] == pytest.approx([-0.99, 0.4])
    assert found.basins == [[0, 1], [2]]
    assert found.near == (True, True, False)


@pytest.mark.parametrize("latent", [False, True])
def test_descent_goes_down_and_barriers_lie_above_their_ends(triangle, exemplar, latent):
    found = texsyn.landscape(triangle, [exemplar.pixels], starts=2, steps=4, latent=latent)
    assert all(each.requires_grad for each in triangle.energy.parameters())
    assert found.kinds == ("crop 0", "crop 0", "sample 0", "sample 0")
    assert all(after < before for before, after in zip(found.before, found.after, strict=True))
    assert found.ends.shape == (4, triangle.modality.channels, *triangle.modality.window)
    for i in range(4):
        for j in range(4):
            if i != j:
                assert found.barriers[i, j] >= max(found.after[i], found.after[j]) - 1e-5
    assert len(found.merges) == 3
    assert sorted(n for basin in found.basins for n in basin) == [0, 1, 2, 3]


def test_numbers_out_of_range_are_refused():
    still = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))
    with pytest.raises(TexsynError, match="--starts must lie"):
        texsyn.landscape(still, [torch.zeros(3, 32, 32)], starts=0)


def test_a_command_maps_two_exemplars(tmp_path, capsys):
    for number in (1, 2):
        draw(tmp_path / f"{number}.png", change=lambda image, n=number: image.rotate(90 * n))
    small = [*SMALL, "--quiet", "--steps", "2"]
    run = str(tmp_path / "run")
    assert main(["fit", str(tmp_path / "1.png"), str(tmp_path / "2.png"), "--out", run, *small]) == 0
    capsys.readouterr()
    assert main(["landscape", run, "--starts", "1", "--steps", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kinds"] == ["crop 0", "sample 0", "crop 1", "sample 1"]
    assert [min(said["after"][:2]), min(said["after"][2:])] == [0, 0]
    assert 0 <= said["crops_that_stay_near"] <= 1
    assert (tmp_path / "run" / "landscape.png").exists()
    assert main(["landscape", run, "--starts", "1", "--steps", "2", "--latent", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["before"] != said["before"]
    assert main(["landscape", run, "--starts", "99"]) == 2
    assert "--starts must lie" in capsys.readouterr().err
