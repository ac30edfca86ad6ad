"""Scoring a run: samples of its model against its exemplar, kept in the run folder."""

from __future__ import annotations

from texsyn.media.scale import LEAST_LARGE
from texsyn.metrics.card import Card
from texsyn.metrics.extras import with_critic, with_repetition
from texsyn.metrics.material import with_maps
from texsyn.metrics.scoring import score_clips, score_native, score_stills, to_numpy
from texsyn.metrics.sliced_wasserstein import Array
from texsyn.models.triangle import Triangle
from texsyn.runs import storage
from texsyn.runs.run import Run
from texsyn.synthesis import sampling

_SCORED = 3  # samples
_STILLS = 12  # samples whose seams are measured: that is cheap, and seams vary
_LARGE = (2048, 2048)  # of the texture whose repetition is measured


def score_run(run: Run, triangle: Triangle, exemplar: int = 0, thorough: bool = False) -> Card:
    """Score samples with the seeds 0 to 2, and store the card. Raises TexsynError (exit 3) where they are too small.

    thorough: of stills, also ask a critic, and measure repetition in a texture of 2048 x 2048.

    Masked pixels of the exemplar are scored as they were estimated. A clip is compared with frames that were held out
    of training, or else with the exemplar's last frames.
    """
    if triangle.modality.moving:
        card = _score_clip(run, triangle, exemplar)
    else:
        # Of all of a large one it would take minutes.
        native = bool(triangle.modality.factors) or min(triangle.modality.size) >= LEAST_LARGE
        samples = list(sampling.sample(triangle, count=_SCORED if native else _STILLS, exemplar=exemplar))
        images = [to_numpy(each) for each in samples]
        height, width = images[0].shape[:2]
        whole = run.estimated_pixels()[exemplar][:, :height, :width]
        original = to_numpy(whole)
        card = score_native(images, original) if native else score_stills(images[:_SCORED], original, images)
        card = with_maps(card, samples[:_SCORED], whole, triangle.modality.planes)
        if thorough:
            large = to_numpy(sampling.sample(triangle, size=_LARGE, exemplar=exemplar)[0])
            card = with_repetition(with_critic(card, images[:_SCORED], original), large, original)
    storage.write_json(run.path / run.card_name(exemplar), card.to_dict())
    return card


def _score_clip(run: Run, triangle: Triangle, exemplar: int) -> Card:
    count = triangle.modality.window[0]
    samples = sampling.sample(triangle, count=_SCORED, frames=count, exemplar=exemplar)
    original, held = _estimated(run, exemplar), run.exemplars()[exemplar].held
    last = original[-count:] if len(original) >= 2 * count else None
    return score_clips([to_numpy(each) for each in samples], original[:count], last if held is None else to_numpy(held))


def _estimated(run: Run, exemplar: int) -> Array:
    return to_numpy(run.estimated_pixels()[exemplar])
