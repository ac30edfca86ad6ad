"""The options of `texsyn fit`: written back as they were read, and checked when they are made."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from texsyn import RECIPES, FitOptions, TexsynError
from texsyn.core.modality import STILL
from texsyn.jobs.options import KINDS, add_arguments, as_options

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
NUMBERS = st.integers(0, 2**31 - 1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from([kind for kind in KINDS if kind != "objects"]),
            "frames": WORDS,
            "mask": WORDS.map(Path),
            "crop": st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
            "side": NUMBERS,
            "recipe": st.sampled_from(list(RECIPES)),
            "objective": st.sampled_from(["triangle", "vae"]),
            "seed": st.integers(),
            "set": st.lists(WORDS),
            "steps": st.integers(),
            "minutes": st.floats(0, exclude_min=True),
            "out": st.just(Path("-runs/-a")),
            "device": WORDS,
            **dict.fromkeys(("prepare", "untrusted", "wait", "no_card", "json", "quiet"), st.booleans()),
        },
    )
)
def test_options_are_written_back_as_they_were_read(values):
    options = FitOptions(**values)
    assert FitOptions.parse(options.to_args()) == options


def test_what_has_its_default_is_not_written():
    assert FitOptions().to_args() == FitOptions.parse([]).to_args() == []
    options = FitOptions.parse(["--set", "sigma=0.2", "--set=steps=3", "--minutes", "3", "--no-card"])
    assert options == FitOptions(set=("sigma=0.2", "steps=3"), minutes=3, no_card=True)
    assert options.to_args() == ["--set=sigma=0.2", "--set=steps=3", "--minutes=3.0", "--no-card"]
    assert as_options(options) is options


def test_every_option_has_its_help():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = parser.format_help()
    for each in fields(FitOptions):
        assert f"--{each.name.replace('_', '-')}" in text
        assert each.metadata["argument"]["help"]


def test_some_options_can_be_offered_and_selected():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="runs")
    add_arguments(parser, ("seed", "steps"))
    parsed = parser.parse_args(["--seed", "3"])
    assert FitOptions.from_namespace(parsed, ("seed", "steps")) == FitOptions(seed=3)
    options = FitOptions(seed=3, steps=5, device="cpu")
    assert options.select("steps", "device") == FitOptions(steps=5, device="cpu")
    assert options.given() == ["seed", "steps", "device"]


def test_recipes_follow_from_options():
    options = FitOptions.parse(["--recipe", "best", "--set", "energy-mean=no", "--set=batch_size=3", "--steps", "7"])
    assert options.recipe_changes() == {"energy_mean": False, "batch_size": 3, "steps": 7}
    recipe = options.new_recipe(STILL)
    assert recipe == replace(RECIPES["best"], energy_mean=False, batch_size=3, steps=7)
    assert FitOptions(objective="vae").new_recipe(STILL).energy == 0
    assert FitOptions(minutes=2).resumed_recipe(recipe) == replace(recipe, minutes=2)
    assert FitOptions(steps=9).resumed_recipe(replace(recipe, minutes=2)) == replace(recipe, steps=9)


def test_a_crop_is_written_as_it_is_read():
    assert FitOptions.parse(["--crop", "64x32+8+0"]).crop == (8, 0, 64, 32)
    assert FitOptions(crop=(8, 0, 64, 32)).to_args() == ["--crop=64x32+8+0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["picture.png"], "unrecognized arguments: picture.png"),
        (["--stairs=3"], "unrecognized arguments: --stairs=3"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--steps"], "argument --steps: expected one argument"),
        (["--kind", "sound"], "invalid choice: 'sound'"),
        (["--crop", "12"], "'12' is not of the form WxH"),
        (["--out", "s3://bucket/runs"], "is an address: mount it"),
        (["--minutes", "nan"], "--minutes must be more than 0, but is nan"),
        (["--resume", "run", "--seed", "0"], "only --steps or --minutes go with it, not --seed"),
        (["--resume", "run", "--out", "other"], "not --out"),
        (["--kind", "objects", "--mask", "mask.png"], "--mask does not go with --kind objects"),
    ],
)
def test_a_bad_word_is_one_line(words, message, capsys):
    with pytest.raises(TexsynError) as refused:
        FitOptions.parse(words)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "sound"}, "--kind is one of still, clip, surface, material, objects, not 'sound'"),
        ({"recipe": "slow"}, "--recipe is one of fast, best, paper, not 'slow'"),
        ({"objective": "gan"}, "--objective is one of triangle, vae, acd, wake-sleep, not 'gan'"),
        ({"minutes": 0}, "--minutes must be more than 0"),
        ({"resume": Path("run"), "set": ["sigma=1"]}, "not --set"),
    ],
)
def test_wrong_values_are_refused_when_the_options_are_made(values, message):
    with pytest.raises(TexsynError) as refused:
        FitOptions(**values)
    assert message in str(refused.value)
    assert refused.value.exit == 2
