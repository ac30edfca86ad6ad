"""What was made of the chosen run, its favourites, and a texture that is dropped: each is made again at a click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import history
from common import PRIVATE, QUIET, SECRET, image_gallery, show_errors
from history import Entry
from sample_panel import SamplePanel
from samples import Choice, Shape
from stage import Stage
from studio import Studio

import texsyn
from texsyn import TexsynError

_MOST = 1_000_000  # pixels of a favourite that is shown as it was made


class MadePanel:
    """A browser remembers what was made in it; textures know it themselves."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage, sample: SamplePanel) -> None:
        self._studio, self._sample = studio, sample
        self._made = gr.BrowserState([], storage_key="texsyn-made", secret=SECRET)
        self.wanted = gr.State(None)  # of a run that is about to be chosen: what a dropped texture was made with
        favour = gr.Button("Add to favourites, or remove", elem_id="favour", size="sm")
        self._favourites = image_gallery("Favourites", object_fit="cover", elem_id="favourites", visible=False)
        self._history = gr.Dropdown([], value=None, label="Made before", elem_id="history")
        dropped = gr.File(
            label="Drop a texture of texsyn to make it again", type="filepath", height=90, elem_id="dropped"
        )
        self.listing, self.listed = [self._made, run], [self._history, self._favourites]
        self.restored = [*sample.picture, *sample.shape, self.wanted]
        made = [self._made, run, stage.choice, *sample.shape]
        for changed in sample.changed:
            changed.success(self._note, made, [self._made, self._history], **QUIET)
        favour.click(self._favour, made, [self._made, *self.listed], show_progress_on=favour, **PRIVATE)
        self._history.input(self._show_again, [self._history, *self.listing], self.restored, **QUIET)
        self._favourites.select(self._show_favourite, self.listing, self.restored, **QUIET)
        outputs = [run, dropped, *self.restored]
        dropped.upload(self._read, [dropped, run], outputs, show_progress_on=dropped, **PRIVATE)

    def list_made(self, made: list[Entry] | None, name: str | None) -> list[Any]:
        """Values of `listed` for `listing`: what was made of the chosen run, and its favourites."""
        shown = [(str(self._picture(each)), history.label(each)) for each in history.favourites(made, name)]
        return [_labels(made, name), gr.update(value=shown, visible=bool(shown))]

    @show_errors
    def restore(self, wanted: Entry | None, name: str | None) -> list[Any]:
        """Values of `restored`, once the run is chosen of which this is wanted."""
        return self._show(wanted) if wanted and wanted["run"] == name else [gr.skip()] * len(self.restored)

    def _picture(self, entry: Entry) -> Path:
        run = self._studio.open_run(entry["run"])
        choice, shape = history.choice_of(entry), Shape.asked(run, *entry["shape"])
        *_, height, width = texsyn.target(run.modality, shape.size, shape.frames)
        return self._studio.samples.write(run, choice, shape if height * width <= _MOST else Shape())

    def _note(self, made: list[Entry] | None, name: str, choice: Choice | None, *shape: Any) -> list[Any]:
        """What was made, with the sample that is shown now first."""
        if choice is None:
            return [gr.skip()] * 2
        entries = history.noted(made or [], history.entry(name, choice, shape))
        return [entries, _labels(entries, name)]

    @show_errors
    def _favour(self, made: list[Entry] | None, name: str, choice: Choice | None, *shape: Any) -> list[Any]:
        if choice is None:
            raise TexsynError("choose a sample first")
        entries = history.favoured(made or [], history.entry(name, choice, shape))
        return [entries, *self.list_made(entries, name)]

    @show_errors
    def _show_again(self, label: str, made: list[Entry] | None, name: str) -> list[Any]:
        found = [each for each in history.of_run(made, name) if history.label(each) == label]
        return self._show(found[0]) if found else [gr.skip()] * len(self.restored)

    @show_errors
    def _show_favourite(self, event: gr.SelectData, made: list[Entry] | None, name: str) -> list[Any]:
        return self._show(history.favourites(made, name)[event.index])

    @show_errors
    def _read(self, path: str | None, name: str | None) -> list[Any]:
        """Show a dropped texture; where it is of another run, choose that one, and show the texture after that."""
        if not path:
            return [gr.skip()] * (2 + len(self.restored))
        runs = [self._studio.open_run(each) for _, each in self._studio.list_runs()]
        wanted = history.from_facts(texsyn.origin(Path(path)), runs)
        if wanted["run"] == name:
            return [gr.skip(), None, *self._show(wanted)]
        return [wanted["run"], None, *[gr.skip()] * (len(self.restored) - 1), wanted]

    def _show(self, entry: Entry) -> list[Any]:
        """Values of `restored`; nothing is wanted any more."""
        run = self._studio.open_run(entry["run"])
        shown = self._sample.show(run, history.choice_of(entry), Shape.asked(run, *entry["shape"]))
        return [*shown, *entry["shape"], None]


def _labels(made: list[Entry] | None, name: str | None) -> Any:
    return gr.update(choices=[history.label(each) for each in history.of_run(made, name)], value=None)
