"""How long a step takes: what is timed are steps of a fit."""

import itertools

import pytest

from texsyn import TexsynError, step_seconds
from texsyn.training import loop, timing


def test_the_median_of_steps_is_taken_after_those_that_warm_up(monkeypatch):
    clock = itertools.accumulate([9.0, 2.0, 5.0, 2.0])
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(loop, "create", lambda exemplar, recipe, device: (exemplar, recipe))
    monkeypatch.setattr(loop, "fit", lambda triangle, exemplar, recipe: iter(range(recipe.steps)))
    assert step_seconds("still") == 2.0


def test_steps_are_those_of_a_fit(monkeypatch):
    monkeypatch.setattr(timing, "_UNTIMED", 1)
    monkeypatch.setattr(timing, "_TIMED", 1)
    assert 0.001 < step_seconds("objects28") < 60


def test_a_recipe_that_the_kind_does_not_have_is_refused():
    with pytest.raises(TexsynError, match="no 'paper' networks for a surface"):
        step_seconds("surface", "paper")
