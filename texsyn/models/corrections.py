"""What follows the generator and brings its samples closer to one exemplar: spectrum, colour, flicker, detail, maps.

Corrections have buffers and no weights: `training.calibration` fits them to the trained generator.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from texsyn.core.architecture import Design
from texsyn.core.modality import Modality
from texsyn.models.agreement import Agreement
from texsyn.models.colour_transfer import ColourTransfer
from texsyn.models.deflicker import Deflicker
from texsyn.models.equaliser import Equaliser
from texsyn.models.subband_matching import SubbandMatching


class Correction(nn.Module):
    """The corrections of a design, in this order; each is fitted to the output of those before it."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.stationary = modality.stationary
        channels, levels = modality.channels, design.subband_matching
        frame = [1 if same else n for same, n in zip(modality.stationary, modality.window, strict=True)]
        axes = (2,) if modality.moving else (2, 3)  # of a clip only time
        self.equaliser = Equaliser(channels, design.equaliser, modality.axes) if design.equaliser else None
        self.colour_transfer = ColourTransfer(channels) if design.colour_transfer else None
        self.deflicker = Deflicker(channels, frame) if design.deflicker else None
        self.subband_matching = SubbandMatching(channels, levels, axes) if levels else None
        self.agreement = Agreement(modality) if Agreement.concerns(modality) else None

    def fit(self, generated: Tensor, real: Tensor, crops: Tensor, gain: float) -> None:
        """Fit all corrections.

        generated: samples without correction, `b channels *window`. real: the exemplar, `1 channels *axes`.
        crops: of the exemplar, `n channels *window`. gain: the largest of the equaliser and of subband matching.
        """
        if self.equaliser is not None:
            self.equaliser.fit(generated, crops, gain)
            generated = self.equaliser(generated, self.stationary)
        if self.colour_transfer is not None:
            self.colour_transfer.fit(generated, real)
            generated = self.colour_transfer(generated, self.stationary)
        if self.deflicker is not None:
            self.deflicker.fit(generated, real)
            generated = self.deflicker(generated, self.stationary)
        if self.subband_matching is not None:
            self.subband_matching.fit(generated, real, gain or 1.0)
        if self.agreement is not None:
            self.agreement.fit(real)

    def forward(self, generated: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b channels *grid` -> the same, in [-1, 1]. wrapped: the axes on which the textures are a torus."""
        for correction in self.children():
            generated = correction(generated, wrapped)
        return generated
