"""Whether maps belong together: cases whose answer is known."""

import numpy as np
import pytest
import torch
from media.sample_maps import flipped, maps

from texsyn.core.maps import Plane
from texsyn.metrics.card import Card, describe
from texsyn.metrics.material import with_maps

PLANES = (Plane("colour"), Plane("normal"), Plane("height", 1), Plane("roughness", 1))
FLAT = {"ps": 1.0, "swd": 0.1, "sharp": 1.0, "vcf": 0.0, "seam_x": 1.0, "seam_y": 1.0, "diversity": 1.0}


def texture(**changes):
    known = maps((160, 192)) | changes
    layers = [known[plane.name].reshape(160, 192, -1) for plane in PLANES]
    return torch.from_numpy(2 * np.concatenate(layers, -1) - 1).float().movedim(-1, 0)


def card(sample, planes=PLANES, exemplar=None):
    return with_maps(Card(dict(FLAT), dict(FLAT)), [sample], texture() if exemplar is None else exemplar, planes)


def test_an_exemplar_belongs_to_itself():
    metrics = card(texture()).metrics
    assert metrics["maps"] == 0
    assert metrics["normal_angle"] < 0.5
    for name in ("normal", "height", "roughness"):
        assert metrics[f"swd_{name}"] < 0.06
        assert metrics[f"sharp_{name}"] == pytest.approx(1)


def test_maps_that_were_drawn_apart_are_told():
    """Normals of another place, or mirrored ones, are as good by themselves, and do not belong to the height."""
    elsewhere = card(texture(normal=np.roll(maps((160, 192))["normal"], (11, 17), (0, 1)))).metrics
    assert elsewhere["normal_angle"] > 20
    assert elsewhere["maps"] > 0.05
    assert elsewhere["sharp_normal"] == pytest.approx(1, abs=0.05)
    assert card(texture(normal=flipped(maps((160, 192))["normal"]))).metrics["normal_angle"] > 20
    inverted = card(texture(roughness=1 - maps((160, 192))["roughness"])).metrics
    assert inverted["maps"] > 0.3


def test_normals_that_point_down_are_measured_by_their_plane():
    down = texture(normal=flipped(maps((160, 192))["normal"]))
    planes = (PLANES[0], Plane("normal", flipped=True), *PLANES[2:])
    assert card(down, planes, down).metrics["normal_angle"] < 0.5


def test_a_map_that_is_the_same_everywhere_has_no_distance():
    flat = texture(roughness=np.full((160, 192), 0.5))
    found = card(flat, exemplar=flat)
    assert np.isnan(found.metrics["swd_roughness"])
    assert found.metrics["maps"] == 0
    assert "roughness is the same everywhere" in describe(found)


def test_the_card_says_it_in_words():
    lines = describe(card(texture()))
    assert any(line.startswith("together  good: correlations of maps differ by 0.000") for line in lines)
    assert any(line.startswith("height    SWD ") for line in lines)
    assert describe(with_maps(Card(dict(FLAT), dict(FLAT)), [], texture(), PLANES[:1])) == describe(
        Card(dict(FLAT), dict(FLAT))
    )
