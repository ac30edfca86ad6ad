"""PNG files written row by row."""

import numpy as np
import torch
from PIL import Image

from texsyn.media import writing


def test_every_filter_of_png_is_read_back(tmp_path):
    random = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 40)
    rows = [ramp.expand(1, 40), torch.rand(8, 40, generator=random) * 2 - 1, ramp.view(40, 1) + 0.5 * ramp.view(1, 40)]
    for channels in (1, 3):
        picture = torch.cat(rows).clamp(-1, 1).expand(channels, -1, -1)
        path = tmp_path / f"{channels}.png"
        writing.write(picture, path)
        image = Image.open(path)
        assert image.mode == {1: "L", 3: "RGB"}[channels]
        expected = writing.to_uint8(picture)[0]
        np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)
