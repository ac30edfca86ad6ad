"""Stored models: damaged and forged ones are refused before they take memory."""

import json

import pytest
import torch
from runs.helpers import DAMAGE, damage, equal, noise

from texsyn import TexsynError, load, save
from texsyn.core.errors import Exit
from texsyn.runs import storage
from texsyn.synthesis import sampling
from texsyn.training import loop


def test_a_stored_model_samples_the_same(tmp_path, triangle):
    save(triangle, tmp_path / "model")
    found = load(tmp_path / "model")
    assert equal(found, triangle)
    assert found.modality.planes == triangle.modality.planes
    assert torch.equal(sampling.sample(found, seed=3), sampling.sample(triangle.eval(), seed=3))
    assert storage.read_content(tmp_path / "model")["format"] == 2


def test_a_stored_model_is_not_overwritten_unless_forced(tmp_path, triangle):
    save(triangle, tmp_path / "model")
    with pytest.raises(TexsynError, match="exists") as caught:
        save(triangle, tmp_path / "model")
    assert caught.value.exit is Exit.USAGE
    save(triangle, tmp_path / "model", force=True)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_model_is_refused(tmp_path, recipe, how):
    save(loop.create(noise(), recipe), tmp_path / "model")
    damage(tmp_path / "model", how)
    with pytest.raises(TexsynError):
        load(tmp_path / "model")


def layer(**changes):
    return {"channels": 8, "kernel": [4, 4], "stride": [2, 2], "padded": True, **changes}


FORGED = (
    ({"latents": [4]}, "do not fit"),
    ({"latents": [10**9]}, "latents"),
    ({"latents": 5}, "latents"),
    ({"latents": [3] * 5}, "latents"),
    ({"latents": []}, "latents"),
    ({"frame_latents": [1, 1]}, "frame_latents"),
    ({"frame_latents": "many"}, "frame_latents"),
    ({"frame_latents": [1]}, "do not fit"),
    ({"posterior": [layer(channels=0)]}, "channels"),
    ({"posterior": [layer(kernel=[4, 4, 4])]}, "kernel"),
    ({"generator": [layer(channels=0), layer(channels=0)]}, "channels"),
    ({"generator": [layer(channels=4096, kernel=[64, 64])] * 16}, "design"),
    ({"generator": [layer()] * 17}, "generator"),
    ({"heads": None}, "layer"),
    ({"latents": [4, 2], "energy_scales": 8}, "do not fit"),
    ({"energy": []}, "energy"),
    ({"equaliser": [3]}, "equaliser"),
    ({"equaliser": [3, 3, 3]}, "equaliser"),
    ({"normalisation": "__import__"}, "normalisation"),
    ({"precision": "float16"}, "precision"),
    ({"exemplars": 1001}, "exemplars"),
)


@pytest.mark.parametrize(("change", "reason"), FORGED, ids=lambda value: str(value)[:40])
def test_forged_models_are_checked_before_memory_is_taken(tmp_path, recipe, change, reason):
    save(loop.create(noise(), recipe), tmp_path / "model")
    content = json.loads((tmp_path / "model" / "content.json").read_text())
    storage.store(tmp_path / "forged", {}, {**content, "design": {**content["design"], **change}})
    blob = (tmp_path / "model" / "tensors.safetensors").read_bytes()
    (tmp_path / "forged" / "tensors.safetensors").write_bytes(blob)
    with pytest.raises(TexsynError, match=reason):
        load(tmp_path / "forged")
