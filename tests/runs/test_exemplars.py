"""Exemplars on disk: read as they were stored, refused where they do not fit their run."""

import json
from dataclasses import replace

import pytest
import torch
from runs.helpers import masked, noise

from texsyn import Run, TexsynError
from texsyn.runs import storage


def test_every_part_is_read(tmp_path, exemplar, recipe):
    held = exemplar.pixels.flip(1)
    mask = (exemplar.pixels[:1] > 0).float()
    whole = replace(exemplar, held=held, mask=mask, facts={"name": "waves", "width": 32, "height": 32})
    run = Run.create(tmp_path / "run", whole, recipe)
    (found,) = run.exemplars()
    assert all(torch.equal(getattr(found, part), getattr(whole, part)) for part in ("pixels", "held", "mask"))
    assert (found.name, found.fps, found.facts["width"]) == ("waves", 10.0, 32)


BROKEN = {
    "no pixels": {},
    "grey": {"pixels.0": torch.zeros(1, 32, 32)},
    "a clip": {"pixels.0": torch.zeros(3, 4, 32, 32)},
    "mask of another size": {"pixels.0": torch.zeros(3, 32, 32), "mask.0": torch.zeros(1, 30, 32)},
    "mask in colour": {"pixels.0": torch.zeros(3, 32, 32), "mask.0": torch.zeros(3, 32, 32)},
    "held in grey": {"pixels.0": torch.zeros(3, 32, 32), "held.0": torch.zeros(1, 32, 32)},
    "one too many": {"pixels.0": torch.zeros(3, 32, 32), "pixels.1": torch.zeros(3, 32, 32)},
    "other part": {"pixels.0": torch.zeros(3, 32, 32), "weights.0": torch.zeros(3, 32, 32)},
}


@pytest.mark.parametrize("how", BROKEN)
def test_tensors_that_do_not_fit_are_refused(tmp_path, recipe, how):
    run = Run.create(tmp_path / "run", noise(), recipe)
    storage.store(run.path / "exemplar", BROKEN[how], {})
    with pytest.raises(TexsynError, match="its exemplar cannot be right"):
        run.exemplars()


@pytest.mark.parametrize(
    "facts", [[], {}, [5], [{"width": -1}], [{"frames": 10**12}], [{"name": 5}], [{"height": None}]]
)
def test_facts_that_cannot_be_right_are_refused(tmp_path, recipe, facts):
    run = Run.create(tmp_path / "run", masked(), recipe)
    content = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**content, "exemplars": facts}))
    with pytest.raises(TexsynError, match="is damaged"):
        _ = run.facts
