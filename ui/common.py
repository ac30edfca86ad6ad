"""What all pages share: the theme, options of events, error messages, and widgets that several pages use."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from texsyn import TexsynError

FOLDER = Path(__file__).resolve().parent
STYLE = (FOLDER / "style.css").read_text()
SCRIPTS = "".join(f"<script>{(FOLDER / name).read_text()}</script>" for name in ("page.js", "viewer.js"))
HEAD = f"{SCRIPTS}<meta name='viewport' content='width=device-width'>"
PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # an event that other programs cannot call
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
SECRET = "texsyn"  # encrypts the run id that a browser remembers; fixed, so that a restarted server can read it


def theme() -> gr.Theme:
    """A calm theme in the system's own fonts, with enough contrast for axe."""
    base = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="neutral",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    strong, light = "*neutral_700", "*neutral_200"
    return base.set(
        body_background_fill="#f3f3f2",
        body_background_fill_dark="#141414",
        block_background_fill_dark="#1d1d1d",
        block_border_color_dark="#333331",
        border_color_primary_dark="#333331",
        input_background_fill_dark="#262626",
        block_shadow="none",
        block_radius="10px",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color=strong,
        block_label_text_color_dark=light,
        block_title_text_color=strong,
        block_title_text_color_dark=light,
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#2a2a2a",
        button_secondary_background_fill_hover_dark="#383838",
        button_secondary_border_color_dark="#3d3d3a",
        button_large_text_size="*text_md",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_title_text_weight="500",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        checkbox_label_background_fill_dark="#262626",
        checkbox_label_text_color_selected="white",
        button_secondary_border_color="#d9d9d6",
        button_border_width="1px",
        link_text_color="*primary_800",
    )


def show_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """An event handler whose TexsynErrors are shown as a message on the page. Other errors keep their traceback."""

    @wraps(handler)
    def handler_with_messages(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except TexsynError as error:
            raise gr.Error(str(error), duration=8, print_exception=False) from error

    return handler_with_messages


def confirm(question: str) -> str:
    """JavaScript for an event: asks the question, and cancels the event unless the answer is yes."""
    return f"(...values) => {{ if (!confirm({question!r})) throw new Error('cancelled'); return values; }}"


def image_gallery(label: str, columns: int = 4, **options: Any) -> gr.Gallery:
    """A gallery to choose from, without an upload box or a preview of its own. options: of `gr.Gallery`."""
    return gr.Gallery(
        label=label,
        show_label=False,
        columns=columns,
        interactive=False,
        allow_preview=False,
        buttons=[],
        fit_columns=False,
        **options,
    )
