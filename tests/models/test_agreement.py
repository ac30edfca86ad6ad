"""Height and normals of one surface: brought together where the exemplar's agree, left alone where they do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from media.sample_maps import flipped, maps

from texsyn.core.maps import Plane
from texsyn.core.modality import STILL
from texsyn.metrics.card import Card
from texsyn.metrics.material import with_maps
from texsyn.models.agreement import Agreement
from texsyn.models.corrections import Correction

SIZE, WRAPPED = (96, 128), (True, True)


def kind(down: bool = False):
    return replace(STILL, planes=(Plane("colour"), Plane("height", 1), Plane("normal", flipped=down)))


def texture(down: bool = False, noise: float = 0.0, **changes: np.ndarray) -> torch.Tensor:
    known = maps(SIZE) | changes
    normal = flipped(known["normal"]) if down else known["normal"]
    layers = [each.reshape(*SIZE, -1) for each in (known["colour"], known["height"], normal)]
    values = torch.from_numpy(2 * np.concatenate(layers, -1) - 1).float().movedim(-1, 0)[None]
    return values + noise * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))


def angle(x: torch.Tensor, down: bool) -> float:
    card = with_maps(Card({}, {}), [x[0]], texture(down)[0], kind(down).planes)
    return card.metrics["normal_angle"]


@pytest.mark.parametrize("down", [False, True])
def test_maps_that_agree_stay_and_noise_between_them_goes(down):
    layer = Agreement(kind(down))
    layer.fit(texture(down))
    assert float(layer.weight) == 1
    torch.testing.assert_close(layer(texture(down), WRAPPED), texture(down), atol=0.01, rtol=0)
    noisy = texture(down, noise=0.02)
    assert angle(noisy, down) > 3
    joined = layer(noisy, WRAPPED)
    assert angle(joined, down) < 0.5
    assert torch.equal(joined[:, :3], noisy[:, :3])
    error = (joined - texture(down))[:, 3].square().mean().sqrt()
    assert error < 0.02  # the height has no more noise than before


def test_an_exemplar_whose_maps_do_not_agree_is_left_alone():
    layer = Agreement(kind())
    layer.fit(texture(normal=np.roll(maps(SIZE)["normal"], 20, 1)))
    assert float(layer.weight) == 0
    x = texture(noise=0.02)
    assert layer(x, WRAPPED) is x


def test_it_wraps_and_is_the_same_everywhere():
    layer = Agreement(kind())
    layer.fit(texture())
    x = texture(noise=0.02)
    shifted = layer(x.roll((17, 40), (2, 3)), WRAPPED)
    torch.testing.assert_close(shifted, layer(x, WRAPPED).roll((17, 40), (2, 3)), atol=1e-4, rtol=1e-4)


def test_an_exported_graph_does_the_same(monkeypatch):
    layer = Agreement(kind())
    layer.fit(texture())
    x = texture(noise=0.02)
    expected = layer(x, WRAPPED)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(layer(x, WRAPPED), expected, atol=1e-3, rtol=1e-3)
    layer.weight.fill_(0)
    torch.testing.assert_close(layer(x, WRAPPED), x)


def test_only_materials_with_both_maps_have_it():
    design = STILL.designs["local"]
    assert Correction(kind(), design).agreement is not None
    assert Correction(replace(kind(), planes=kind().planes[:2]), design).agreement is None
