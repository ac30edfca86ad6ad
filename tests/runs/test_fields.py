"""Values from JSON: every stored field has a range, and what is out of it is refused."""

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from texsyn import TexsynError
from texsyn.core.architecture import Design, Layer
from texsyn.core.maps import Plane
from texsyn.core.modality import MODALITIES, Modality
from texsyn.runs.fields import from_json, number_in, object_in, to_json

HERE = Path("run")
DESIGNS = {f"{row.name}-{name}": (row, design) for row in MODALITIES.values() for name, design in row.designs.items()}


@pytest.mark.parametrize("cls", [Modality, Plane, Design, Layer])
def test_every_stored_number_has_a_range(cls):
    for field, kind in ((field, get_type_hints(cls)[field.name]) for field in fields(cls)):
        if field.metadata.get("stored", True) and ({int, float} & {kind, *get_args(kind)}):
            assert field.metadata.keys() >= {"low", "high"}, field.name


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_is_read_as_it_was_written(name):
    modality, design = DESIGNS[name]
    row = json.loads(json.dumps(to_json(design)))
    assert from_json(Design, row, len(modality.axes), HERE) == design


@pytest.mark.parametrize("modality", MODALITIES.values(), ids=MODALITIES)
def test_every_modality_is_read_without_its_designs(modality):
    row = json.loads(json.dumps(to_json(modality)))
    assert "designs" not in row
    assert from_json(Modality, row, len(modality.axes), HERE, designs=modality.designs) == modality


LAYER = {"channels": 8, "kernel": [3, 3], "stride": [1, 1], "padded": True}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", -1),
        ("channels", 4097),
        ("channels", 8.0),
        ("channels", True),
        ("channels", "8"),
        ("channels", None),
        ("channels", 10**400),
        ("kernel", [3]),
        ("kernel", [3, 3, 3]),
        ("kernel", [3, 0]),
        ("kernel", [3, 65]),
        ("kernel", [3, True]),
        ("kernel", 3),
        ("kernel", "33"),
        ("kernel", {"0": 3}),
        ("padded", 1),
        ("padded", "yes"),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    assert from_json(Layer, LAYER, 2, HERE).channels == 8
    with pytest.raises(TexsynError, match=f"run is damaged: its {name} cannot be right"):
        from_json(Layer, {**LAYER, name: value}, 2, HERE)


def test_a_missing_value_is_the_default_where_there_is_one():
    without = {name: value for name, value in LAYER.items() if name != "padded"}
    assert from_json(Layer, without, 2, HERE).padded is True
    for name in ("channels", "kernel", "stride"):
        with pytest.raises(TexsynError, match=f"its {name} cannot be right"):
            from_json(Layer, {key: value for key, value in LAYER.items() if key != name}, 2, HERE)
    with pytest.raises(TexsynError, match="its layer cannot be right"):
        from_json(Layer, [LAYER], 2, HERE)


@pytest.mark.parametrize("name", ["", "../up", "x" * 101, "two words", 5])
def test_names_are_words(name):
    assert from_json(Plane, {"name": "normal.gl"}, 2, HERE).channels == 3
    with pytest.raises(TexsynError, match="its name cannot be right"):
        from_json(Plane, {"name": name}, 2, HERE)


def test_numbers_and_objects_are_checked():
    assert number_in({"n": 3}, "n", float, 0, 3, HERE) == 3.0
    for value in (float("nan"), 4, -1, "3", None, True, [3]):
        with pytest.raises(TexsynError, match="its n cannot be right"):
            number_in({"n": value}, "n", float, 0, 3, HERE)
    with pytest.raises(TexsynError, match="its n cannot be right"):
        number_in({"n": 1.5}, "n", int, 0, 3, HERE)
    with pytest.raises(TexsynError, match="its row cannot be right"):
        object_in({"row": []}, "row", HERE)
