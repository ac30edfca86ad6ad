"""Sizes that are asked for, and the axes on which a texture wraps."""

import pytest
from conftest import KINDS

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.synthesis.extent import Extent


def test_defaults_are_the_kinds_own(modality):
    extent = Extent.of(modality, None, None, None, True)
    assert extent == Extent(modality.size, modality.stationary)


def test_sizes_are_width_and_height_and_stationary_axes_wrap_as_asked():
    assert Extent.of(KINDS["still"], (40, 24), None, "x", True) == Extent((24, 40), (False, True))
    assert Extent.of(KINDS["still"], None, None, "none", True).wrapped == (False, False)
    assert Extent.of(KINDS["clip"], None, 20, None, False) == Extent((20, 16, 16), (False, False, False))
    assert Extent.of(KINDS["flipbook"], None, None, "y", True).wrapped == (True, True, False)


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("still", {"frames": 8}, "for clips"),
        ("clip", {"size": (32, 16)}, "fixed"),
        ("clip", {"tile": "x"}, "cannot tile along x"),
        ("still", {"tile": "diagonal"}, "--tile"),
        ("still", {"size": (10**7, 16)}, "size must lie in"),
        ("clip", {"frames": 0}, "--frames must lie in"),
    ],
)
def test_what_a_kind_cannot_have_is_refused(kind, asked, message):
    arguments = {"size": None, "frames": None, "tile": None, "loop": True, **asked}
    with pytest.raises(TexsynError, match=message) as caught:
        Extent.of(KINDS[kind], **arguments)
    assert caught.value.exit is Exit.USAGE
