"""Latent fields as channels of one grid, and back."""

import pytest
import torch

from texsyn.core.modality import CLIP, MODALITIES, STILL
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.field_layout import FieldLayout
from texsyn.models.triangle import Triangle


def layout_of(modality, exemplars=1):
    design = design_for(modality, recipe_for("fast", modality), exemplars)
    return FieldLayout(modality, design), design


def packed(modality, design, grid):
    return torch.randn(2, design.latent_channels, *grid, generator=torch.Generator().manual_seed(0))


def test_a_still_has_its_fields_on_the_grid_of_the_finest():
    layout, design = layout_of(STILL)
    assert (layout.channels, layout.finest, layout.folded) == (5 + 4 + 4, (4, 4), (1, 1))
    z = packed(STILL, design, (3, 2))
    x = layout.unpack(z)
    assert x.shape == (2, 13, 12, 8)
    assert torch.equal(x[:, 0, :4, :4], z[:, :1, 0, 0, None].expand(-1, 4, 4))  # the coarsest is repeated
    assert torch.equal(x[0, 9, 4, 5:8], z[0, 5 + 16 + 1 : 5 + 16 + 4, 1, 1])  # the finest lies row by row
    assert torch.allclose(layout.pack(x), z)


def test_a_clip_has_the_positions_of_its_frame_as_channels():
    layout, design = layout_of(CLIP)
    assert (layout.channels, layout.finest, layout.folded) == (8 * 16 + 3 * 4, (4, 1, 1), (1, 4, 4))
    x = layout.unpack(packed(CLIP, design, (3, 4, 4)))
    assert x.shape == (2, 140, 12, 1, 1)
    assert torch.allclose(layout.unpack(layout.pack(x)), x)


@pytest.mark.parametrize("name", MODALITIES)
def test_what_the_generator_reads_survives(name):
    modality = MODALITIES[name]
    layout, design = layout_of(modality)
    generator = Triangle(modality, design).generator.eval()
    grid = [n // f for n, f in zip(modality.window, design.stride, strict=True)]
    z = packed(modality, design, grid)
    with torch.no_grad():
        assert torch.allclose(generator(layout.pack(layout.unpack(z))), generator(z), atol=1e-5)


def test_projection_is_the_mean_of_repetitions():
    layout, _ = layout_of(STILL)
    x = torch.randn(1, 13, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layout.project(x), layout.unpack(layout.pack(x)), atol=1e-6)
    assert torch.allclose(layout.project(x)[:, :5, :4, :4], x[:, :5, :4, :4].mean((2, 3), keepdim=True), atol=1e-6)
    assert torch.equal(layout.project(x)[:, 9:], x[:, 9:])


def test_phases_name_the_place_within_a_coarse_position():
    layout, _ = layout_of(STILL)
    phases = layout.phases(torch.zeros(1, 13, 8, 4))
    assert phases.shape == (1, 16, 8, 4)
    assert torch.equal(phases.sum(1), torch.ones(1, 8, 4))
    assert phases[0, :, 5, 2].argmax() == 1 * 4 + 2


def test_labels_are_repeated():
    layout, _ = layout_of(CLIP, 2)
    labels = torch.arange(3.0).view(1, 1, 3, 1, 1).expand(1, 2, 3, 4, 4)
    assert torch.equal(layout.unpack_labels(labels)[0, 0, :, 0, 0], torch.arange(3.0).repeat_interleave(4))
