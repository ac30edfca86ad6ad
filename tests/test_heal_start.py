"""Channels that draw lines along rows are found, and begin anew."""

import pytest
import torch
from conftest import script_of_videos


@pytest.fixture(scope="module")
def script():
    with script_of_videos("heal_start") as module:
        yield module


def test_lines_along_rows_are_told_from_those_along_columns(script):
    random = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(2, 3, 64, 64, generator=random)
    noise[:, 1, 20, 10:40] += 5
    noise[:, 2, 10:40, 20] += 5
    plain, rows, columns = script.rows_over_columns(noise, 12).tolist()
    assert plain == pytest.approx(1, abs=0.3)
    assert rows > 3
    assert columns < 1 / 3


def test_healed_channels_are_fresh_and_not_read(script):
    weights = {f"generator.ups.{n}.weight": torch.full((6, 6, 4, 4), float(n)) for n in (1, 2, 3)}
    fresh = {name: torch.full_like(value, -1) for name, value in weights.items()}
    healed = script.heal(weights, fresh, {1: [0, 4], 2: [5]})
    first, second, third = (healed[f"generator.ups.{n}.weight"] for n in (1, 2, 3))
    assert first[0, :, 0, 0].tolist() == [-1, 1, 1, 1, -1, 1]
    assert second[:, 0, 0, 0].tolist() == [0, 2, 2, 2, 0, 2]
    assert second[1, :, 0, 0].tolist() == [2, 2, 2, 2, 2, -1]
    assert third[:, 0, 0, 0].tolist() == [3, 3, 3, 3, 3, 0]
    assert all((value == n).all() for n, value in enumerate(weights.values(), start=1))
