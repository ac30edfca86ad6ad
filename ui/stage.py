"""The middle of the workspace: the state of the chosen run, the picture, and the samples to choose from."""

from __future__ import annotations

import gradio as gr
from common import image_gallery
from viewer import view, viewer

_LIST_EVERY = 5.0  # seconds


class Stage:
    """What panels show their results on. `choice`: the sample that is shown; None while it is the newest preview."""

    def __init__(self) -> None:
        self.status = gr.HTML("", elem_id="status")
        gr.HTML(viewer(), elem_id="viewer-area")
        self.view = gr.HTML(view(None), elem_id="view")
        self.samples = image_gallery("Samples", object_fit="contain", elem_id="samples", visible=False)
        self.choice = gr.State(None)
        self.timer = gr.Timer(_LIST_EVERY)
