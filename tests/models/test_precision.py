"""Which type convolutions are computed in."""

import pytest
import torch

from texsyn.models import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_a_precision_asked_for_is_used(wanted):
    assert precision.resolve(wanted, CPU) == wanted
    with precision.autocast(wanted, CPU):
        out = torch.nn.functional.conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))
    assert out.dtype is getattr(torch, wanted)


@pytest.mark.parametrize(("faster", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_the_faster_on_a_cpu_and_half_precision_on_a_gpu(monkeypatch, faster, chosen):
    monkeypatch.setattr(precision, "bfloat16_is_faster", lambda: faster)
    assert precision.resolve("auto", CPU) == chosen
    assert precision.resolve("auto", torch.device("cuda")) == "bfloat16"


def test_it_is_measured_once_and_keeps_the_number_of_threads():
    threads = torch.get_num_threads()
    with torch.inference_mode():
        first = precision.bfloat16_is_faster()
    assert precision.bfloat16_is_faster() is first
    assert precision.bfloat16_is_faster.cache_info().currsize == 1
    assert torch.get_num_threads() == threads
