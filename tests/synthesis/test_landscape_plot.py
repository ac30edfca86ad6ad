"""The graph of a landscape."""

import pytest
import torch
from PIL import Image

from texsyn import TexsynError
from texsyn.synthesis.landscape import Landscape
from texsyn.synthesis.landscape_plot import _leaves, draw


def two_wells() -> Landscape:
    """Ends 0 and 1 share a basin; 2 lies behind a barrier."""
    starts = torch.tensor([0.0, 0.1, 4.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    ends = torch.tensor([0.0, 0.1, 9.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    barriers = torch.tensor([[0.0, -0.99, 0.5], [-0.99, 0.0, 0.4], [0.5, 0.4, 0.0]])
    return Landscape(("crop 0", "crop 0", "sample 0"), starts, ends, (-0.5, -0.4, 0.6), (-1.0, -1.0, -0.5), barriers)


def test_no_line_of_the_graph_crosses_another():
    assert _leaves(two_wells()) == [0, 1, 2]


def test_the_graph_is_written_once(tmp_path):
    for name in ("graph.png", "graph.svg"):
        draw(two_wells(), tmp_path / name)
    with Image.open(tmp_path / "graph.png") as image:
        assert min(image.size) > 300
    assert "<svg" in (tmp_path / "graph.svg").read_text()
    with pytest.raises(TexsynError, match="exists already"):
        draw(two_wells(), tmp_path / "graph.png")
    with pytest.raises(TexsynError, match=r"is written to \.png or \.svg"):
        draw(two_wells(), tmp_path / "graph.gif")
