"""Choices that are taken as often as is wanted."""

import math

import torch

from texsyn.models.balance import balanced


def test_choices_are_taken_as_often_as_wanted():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3000, 5, generator=random) + torch.tensor([0.0, 1.0, 5.0, -3.0, 20.0])
    wanted = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    added = balanced(logits, wanted)
    assert added[-1] == -math.inf
    taken = (logits + added).argmax(1).bincount(minlength=5) / len(logits)
    assert torch.allclose(taken, wanted, atol=0.02)


def test_where_there_is_one_choice_nothing_is_added():
    assert balanced(torch.randn(6, 2), torch.tensor([0.0, 1.0])).tolist() == [-math.inf, 0]
