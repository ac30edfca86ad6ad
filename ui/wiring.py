"""What the pages have in common: looks, and how a function of the studio becomes an event."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from texsyn import TexsynError

HERE = Path(__file__).resolve().parent
STYLE = (HERE / "style.css").read_text()
HEAD = f"<script>{(HERE / 'page.js').read_text()}</script><meta name='viewport' content='width=device-width'>"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
SECRET = "texsyn"  # of what a browser remembers: one run's id, so that a restarted server can read it


def theme() -> gr.Theme:
    """Calm, in the system's own fonts, with enough contrast for every eye."""
    made = gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="stone",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    strong, light = "*primary_800", "*primary_200"
    return made.set(
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
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        link_text_color=strong,
    )


def said(call: Callable[..., Any]) -> Callable[..., Any]:
    """What the package says to people, said to this person."""

    @wraps(call)
    def safe(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except TexsynError as error:
            raise gr.Error(str(error), duration=8, print_exception=False) from error

    return safe


def confirmed(question: str) -> str:
    """JavaScript that asks before it lets the values through."""
    return f"(...values) => {{ if (!confirm({question!r})) throw new Error('cancelled'); return values; }}"
