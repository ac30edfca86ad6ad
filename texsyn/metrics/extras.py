"""What can be added to the card of stills where the time is there: the critic and repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from texsyn.metrics.card import Card
from texsyn.metrics.critic import critic
from texsyn.metrics.repetition import repetition, threshold
from texsyn.metrics.sliced_wasserstein import Array


def with_critic(card: Card, samples: Sequence[Array], exemplar: Array) -> Card:
    """The card of stills with the critic, which takes some 20 seconds of one core (in 2026)."""
    told, error = critic(samples, exemplar)
    return replace(card, metrics=card.metrics | {"critic": told, "critic_error": error})


def with_repetition(card: Card, large: Array, exemplar: Array) -> Card:
    """The card of stills with the repetition in a large texture, and that of the exemplar in itself."""
    least = threshold(exemplar)
    reference = card.reference | {"repeated": repetition(exemplar, least)}
    return replace(card, metrics=card.metrics | {"repeated": repetition(large, least)}, reference=reference)
