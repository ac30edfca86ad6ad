"""Recipes: special cases, ranges, and the designs that follow from them."""

from dataclasses import asdict, fields, replace

import pytest
from conftest import KINDS

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.modality import CLIP, MODALITIES, STILL
from texsyn.core.recipes import OBJECTIVES, RECIPES, Recipe, check_recipe, design_for, recipe_for


@pytest.mark.parametrize("case", OBJECTIVES)
def test_special_cases_are_recipes(case):
    modality = KINDS["still"]
    recipe = recipe_for("fast", modality, **asdict(OBJECTIVES[case]))
    assert {name: getattr(recipe, name) for name in asdict(OBJECTIVES[case])} == asdict(OBJECTIVES[case])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("modality", MODALITIES.values(), ids=MODALITIES)
def test_every_recipe_is_within_its_ranges(name, modality):
    check_recipe(recipe_for(name, modality))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("learning_rate", float("nan")),
        ("batch_size", 1000),
        ("precision", "float8"),
        ("lr_decay_fraction", 2.0),
        ("energy", -1.0),
        ("gradient_penalty", float("inf")),
    ],
)
def test_a_recipe_out_of_range_is_refused(name, value):
    with pytest.raises(TexsynError, match=name) as caught:
        recipe_for("fast", KINDS["still"], **{name: value})
    assert caught.value.exit is Exit.USAGE


LIMITED = [each for each in fields(Recipe) if {"low", "choices"} & each.metadata.keys()]


@pytest.mark.parametrize("field", LIMITED, ids=lambda field: field.name)
def test_every_limit_of_a_field_is_checked(field):
    limits, option = field.metadata, f"--(set )?{field.name} "
    if "choices" in limits:
        for value in limits["choices"]:
            check_recipe(replace(Recipe(), **{field.name: value}))
        with pytest.raises(TexsynError, match=f"{option}is one of {', '.join(limits['choices'])}, not 'other'"):
            check_recipe(replace(Recipe(), **{field.name: "other"}))
        return
    for value in (limits["low"], limits["high"]):
        check_recipe(replace(Recipe(), **{field.name: value}))
    for value in (limits["low"] - 1, limits["high"] * 2, float("inf")):
        with pytest.raises(TexsynError, match=f"{option}must lie in .* to .*, but is"):
            check_recipe(replace(Recipe(), **{field.name: value}))


def test_every_number_has_a_range():
    assert [each.name for each in fields(Recipe) if type(each.default) in (int, float) and each not in LIMITED] == []


def test_every_field_has_a_help():
    assert all(each.metadata["help"] for each in fields(Recipe))


def test_a_recipe_switches_corrections_off():
    recipe = recipe_for("fast", STILL, equaliser_gain=0.0, colour_transfer=False, subband_matching=False)
    design = design_for(STILL, recipe)
    assert (design.equaliser, design.colour_transfer, design.subband_matching) == ((), False, 0)
    assert not design_for(CLIP, recipe_for("fast", CLIP, deflicker=False)).deflicker


def test_a_width_multiplies_the_channels_of_generator_and_posterior():
    plain, half = (design_for(STILL, recipe_for("fast", STILL, width_multiplier=width)) for width in (1.0, 0.5))
    assert [layer.channels for layer in half.generator] == [layer.channels / 2 for layer in plain.generator]
    assert [layer.channels for layer in half.posterior] == [layer.channels / 2 for layer in plain.posterior]
    assert half.energy == plain.energy


def test_scales_that_see_nothing_of_a_small_window_are_left_out():
    recipe = recipe_for("fast", STILL)
    assert design_for(STILL, recipe).energy_scales == 2
    assert design_for(replace(STILL, window=(32, 32)), recipe).energy_scales == 1


def test_an_architecture_that_a_kind_lacks_is_refused():
    surface = MODALITIES["surface"]
    with pytest.raises(TexsynError, match="no 'paper' networks for a surface") as caught:
        design_for(surface, recipe_for("paper", surface))
    assert caught.value.exit is Exit.USAGE
