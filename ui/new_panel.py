"""A new texture: choose an exemplar, check how it is read, set the training time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import budgets
import gradio as gr
from common import PRIVATE, QUIET, image_gallery, show_errors
from descriptions import describe_exemplar
from stage import Stage
from studio import Studio
from viewer import PAINTED, painted_mask, view

import texsyn
from texsyn import FitOptions, TexsynError

EXAMPLES = Path(__file__).resolve().parent.parent / "videos"
MATERIALS = EXAMPLES / "materials"  # a folder of maps each
FITTED = Path(__file__).resolve().parent / "fitted"  # packed runs, each with an image of a sample


class NewPanel:
    """An exemplar is read into a draft as soon as it is chosen, and again whenever its settings change."""

    def __init__(self, studio: Studio, stage: Stage, opened: gr.Component) -> None:
        """opened: receives the id of a run that is learnt already, when it is chosen."""
        self._studio, self._stage, self._opened = studio, stage, opened
        self._examples = _find_examples()
        self.draft, self._files = gr.State(""), gr.State([])  # the draft's id; the paths of the exemplar's files
        self._fitted = sorted(FITTED.glob("*.zip"))
        self._add_choices()
        self._add_result()
        self.budget = gr.Radio(budgets.choices(), value=budgets.DEFAULT, label="How long to train", elem_id="budget")
        gr.Markdown("What that gives of the beans:")
        self._gains = image_gallery(
            "What each budget gives",
            value=[(str(studio.files.copy(FITTED / f"beans-{name}.jpg", True)), name) for name in budgets.SHOWN],
            columns=len(budgets.SHOWN),
            height=170,
            elem_id="gains",
        )
        with gr.Accordion("More settings", open=False):
            self._add_settings()
        self.start = gr.Button("Start training", variant="primary", elem_id="start")
        self._connect()

    def _add_choices(self) -> None:
        self._upload = gr.File(
            label="An image, a clip, or the maps of a material",
            file_types=list(texsyn.ENDINGS),
            file_count="multiple",
            type="filepath",
            elem_id="upload",
            height=130,
        )
        gr.Markdown("Or choose an example:", visible=bool(self._examples))
        self._gallery = image_gallery(
            "Examples",
            value=[(str(self._thumbnail(path)), path.stem) for path in self._examples],
            height=190,
            visible=bool(self._examples),
            elem_id="examples",
        )

        gr.Markdown("Or look at one that is learnt already:")
        self._learnt = image_gallery(
            "Learnt already",
            value=[(str(self._studio.files.copy(path.with_suffix(".jpg"), True)), path.stem) for path in self._fitted],
            height=110,
            elem_id="fitted",
        )

    def _add_settings(self) -> None:
        kind = gr.Dropdown(
            ["auto", "still", "clip", "surface", "material"],
            value="auto",
            label="Kind",
            info="A surface is a clip that looks the same everywhere, such as water. It also tiles in space.",
        )
        recipe = gr.Dropdown(list(texsyn.RECIPES), value="fast", label="Recipe")
        seed = _whole_number("Seed")
        side = _whole_number("Shorter side in pixels (0: the kind's default)")
        levels = gr.Dropdown(
            ["auto", "0", "1", "2"],
            value="auto",
            label="Levels of detail",
            info="Of a still that is learnt at its own size: more where what it shows is larger.",
        )
        with gr.Row():
            frames = [_whole_number("Clip: first frame"), _whole_number("Clip: number of frames (0: all)")]
        with gr.Row():
            crop = [_whole_number(f"Crop: {name}") for name in ("left", "top", "width (0: all)", "height (0: all)")]
        self._settings = [kind, recipe, levels, seed, side, *frames, *crop]
        self._read_again = gr.Button("Read again with these settings", size="sm")

    def _add_result(self) -> None:
        self._summary = gr.HTML("", elem_id="summary")
        self._image = gr.Image(label="Exemplar", interactive=False, visible=False, buttons=[], height=220)
        self._clip = gr.Video(label="Exemplar", interactive=False, visible=False, loop=True, autoplay=True, height=220)
        with gr.Row(visible=False) as self._masking:
            self._paint_mask = gr.Button("Mask parts of the image", size="sm", elem_id="paint-mask")
            self._apply_mask = gr.Button("Apply the mask", size="sm", elem_id="apply-mask")

    def _connect(self) -> None:
        outputs = [self.draft, self._files, self._summary, self._image, self._clip, self._masking, self.budget]
        given = [self.draft, *self._settings]
        self._upload.change(self._read_upload, [self._upload, *given], outputs, **PRIVATE)
        self._gallery.select(self._read_example, given, outputs, **PRIVATE)
        self.unpacked = self._learnt.select(self._unpack, None, self._opened, **PRIVATE)
        self._gains.select(_choose_budget, None, self.budget, **QUIET)
        self._read_again.click(self._read, [self._files, *given], outputs, **PRIVATE)
        self._paint_mask.click(self._show_draft, self.draft, self._stage.view, **QUIET)
        masked = [self._files, *given, gr.Textbox(visible=False)]
        self._apply_mask.click(self._read_masked, masked, outputs, js=PAINTED, **PRIVATE)

    @show_errors
    def _read_upload(self, files: list[str] | None, draft: str, *settings: Any) -> list[Any]:
        return self._create_draft(files, draft, _options(settings)) if files else [gr.skip()] * 7

    @show_errors
    def _read_example(self, event: gr.SelectData, draft: str, *settings: Any) -> list[Any]:
        return self._create_draft([str(self._examples[event.index])], draft, _options(settings))

    @show_errors
    def _unpack(self, event: gr.SelectData) -> str:
        return self._studio.add_fitted(self._fitted[event.index]).path.name

    @show_errors
    def _read(self, files: list[str], draft: str, *settings: Any) -> list[Any]:
        return self._create_draft(files, draft, _options(settings))

    @show_errors
    def _show_draft(self, draft: str) -> str:
        """The exemplar on the stage, to be painted on."""
        run = self._studio.open_run(draft)
        path = self._studio.files.write_texture(run.exemplars()[0].pixels)
        return view(path, None, f"{run.title}: paint over what is not to be learnt", paint=True)

    @show_errors
    def _read_masked(self, files: list[str], draft: str, *settings: Any) -> list[Any]:
        *own, painted = settings
        mask = painted_mask(painted)
        if mask is None:
            raise TexsynError("paint over parts of the image first")
        facts = self._studio.open_run(draft).facts[0]
        path = self._studio.files.write_image(mask, size=(facts["width"], facts["height"]))
        return self._create_draft(files, draft, _options(own, mask=path))

    def _create_draft(self, files: list[str], old_draft: str, options: FitOptions) -> list[Any]:
        """Read one exemplar's files into a new draft; returns the values of the page's outputs."""
        if not files:
            raise TexsynError("choose an image or a clip first")
        draft = self._studio.create_draft([Path(file) for file in files], options)
        if old_draft:
            self._studio.delete_draft(old_draft)
        exemplar, *others = draft.exemplars()
        if others:
            self._studio.delete_draft(draft.path.name)
            raise TexsynError("these are several exemplars: choose one, or the maps of one material")
        moving = exemplar.modality.moving
        path = str(self._studio.files.write_texture(exemplar.pixels, exemplar.fps))
        image = None if moving else path
        return [
            draft.path.name,
            files,
            describe_exemplar(exemplar),
            gr.update(value=image, visible=not moving),
            gr.update(value=path if moving else None, visible=moving),
            gr.update(visible=not moving),
            gr.update(choices=budgets.choices(exemplar.modality.name, self._studio.step_seconds)),
        ]

    def _thumbnail(self, path: Path) -> Path:
        """A small image of an example; of a clip its first frame."""
        exemplar = texsyn.read(path, side=64)
        frame = exemplar.pixels[:, 0] if exemplar.modality.moving else exemplar.pixels
        return self._studio.files.write_texture(frame, permanent=True)


def _choose_budget(event: gr.SelectData) -> str:
    return budgets.SHOWN[event.index]


def _whole_number(label: str) -> gr.Number:
    return gr.Number(0, label=label, precision=0, minimum=0)


def _options(settings: Sequence[Any], mask: Path | None = None) -> FitOptions:
    """The settings of the page as options of `texsyn fit`."""
    kind, recipe, levels = settings[:3]
    seed, side, first, count, *crop = (int(number or 0) for number in settings[3:])
    *_, width, height = crop
    return FitOptions(
        kind=None if kind == "auto" else kind,
        recipe=recipe,
        seed=seed or None,
        side=side or None,
        levels=None if levels == "auto" else int(levels),
        frames=f"{first}:{first + count if count else ''}" if first or count else None,
        crop=tuple(crop) if width and height else None,
        mask=mask,
    )


_RESULTS = ("samples", "completed", "heat", "morph", "spheres")  # images of what the tool makes


def _find_examples() -> list[Path]:
    """Shipped exemplars; an installed app has none."""
    if not MATERIALS.is_dir():
        return []
    return [*(path for path in sorted(EXAMPLES.iterdir()) if _is_exemplar(path)), *sorted(MATERIALS.iterdir())]


def _is_exemplar(path: Path) -> bool:
    is_map = path.stem.endswith(("-mask", "-normal"))
    return path.suffix in (".png", ".mp4", ".jpg") and not is_map and path.stem not in _RESULTS
