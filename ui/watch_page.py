"""The page of one fit: a new sample beside the exemplar, the five terms, the card, stop and go on."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from studio import Studio, told
from wiring import PRIVATE, QUIET, confirmed, said

import texsyn
from texsyn import TexsynError


def watch_page(studio: Studio) -> dict[str, Any]:
    run = gr.Dropdown([], label="Run", interactive=True, elem_id="watched")
    state = gr.HTML("", elem_id="state")
    with gr.Row():
        pause = gr.Button("Pause", elem_id="pause")
        resume = gr.Button("Continue", elem_id="resume")
        finish = gr.Button("Finish soon", elem_id="finish")
        discard = gr.Button("Discard", variant="stop", elem_id="discard")
    with gr.Row():
        with gr.Column():
            slider = gr.ImageSlider(
                label="Exemplar, and a new sample", interactive=False, buttons=[], max_height=420, elem_id="compare"
            )
        with gr.Column():
            plot = gr.HTML("", elem_id="curves")
            card = gr.HTML("", elem_id="card")
    timer = gr.Timer(1.5, active=False)
    seen = gr.State(("", "", 0))

    def look(name: str | None, before: tuple[str, str, int]) -> list[Any]:
        """What changed since the last look, and nothing else."""
        rest = [gr.skip()] * 3
        if not name:
            return ["<p>Nothing is being learnt yet: begin on the first page.</p>", *rest, before, *_able(None)]
        try:
            found = studio.run(name)
            status = texsyn.status(found)
            sheet = studio.sheet(found)
            mark = (name, sheet.name if sheet else "", status.step // 20 if status.working else -status.step)
            pictures = studio.compared(found) if mark[:2] != before[:2] else None
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", *rest, before, *_able(None)]
        return [
            _state(status),
            pictures if pictures else (None if name != before[0] else gr.skip()),
            _curves(status) if mark != before else gr.skip(),
            _card(found, status) if mark != before or not status.working else gr.skip(),
            mark,
            *_able(status),
        ]

    outputs = [state, slider, plot, card, seen, timer, pause, resume, finish, discard]
    timer.tick(look, [run, seen], outputs, trigger_mode="once", concurrency_limit=None, **QUIET)
    run.change(look, [run, seen], outputs, trigger_mode="always_last", concurrency_limit=None, **QUIET)

    @said
    def paused(name: str) -> None:
        texsyn.stop(studio.run(name))

    @said
    def resumed(name: str) -> None:
        found = studio.run(name)
        status = texsyn.status(found)
        more = found.recipe.minutes
        longer = status.seconds / 60 + (more or 3.0) if status.progress >= 1 else None
        texsyn.start(found, longer, studio.device)

    @said
    def discarded(name: str) -> Any:
        found = studio.run(name)
        texsyn.stop(found)
        found.discard()
        known = studio.runs()
        return gr.update(choices=known, value=known[0][1] if known else None)

    @said
    def finished(name: str) -> None:
        """Textures are best after a last part at falling rates: the fit gets a quarter more time than it had."""
        found = studio.run(name)
        texsyn.stop(found)
        texsyn.start(found, 1.25 * texsyn.status(found).seconds / 60, studio.device)

    for button, call in ((pause, paused), (resume, resumed), (finish, finished)):
        button.click(call, run, None, **PRIVATE).then(look, [run, seen], outputs, **QUIET)
    discard.click(discarded, run, run, js=confirmed("Delete this run and all that it learnt?"), **PRIVATE)
    return {"run": run, "look": look, "asks": [run, seen], "shows": outputs}


def _able(status: texsyn.Status | None) -> list[Any]:
    """Whether to look again soon, and which buttons make sense: pause, continue, finish soon, discard."""
    there, working = status is not None, status is not None and status.working
    begun = status is not None and status.step > 0 and status.progress < 0.8
    return [
        gr.update(active=working),
        *(gr.update(interactive=on) for on in (working, there and not working, begun, there)),
    ]


def _state(status: texsyn.Status) -> str:
    share = 100 * status.progress
    return (
        f"<p class='state {status.state}'>{html.escape(told(status))}</p>"
        f"<div class='bar' role='progressbar' aria-label='progress' aria-valuenow='{share:.0f}' aria-valuemin='0' "
        f"aria-valuemax='100'><div style='width:{share:.1f}%'></div></div>"
    )


_COLOURS = ("#0d9488", "#b45309", "#4338ca", "#be185d", "#64748b")  # of the five terms, apart for most eyes


def _curves(status: texsyn.Status) -> str:
    """The five terms over the steps, as a drawing: gradio's own plot draws itself without end in a hidden tab."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for event in status.curves:
        for name, value in event.get("terms", {}).items():
            curves.setdefault(name, []).append((float(event["step"]), value / 1000))
    points = [point for line in curves.values() for point in line]
    if len(status.curves) < 2:
        return ""
    right, low, high = max(x for x, _ in points), min(y for _, y in points), max(y for _, y in points)
    drawn, legend = [], []
    for colour, (name, line) in zip(_COLOURS, curves.items(), strict=False):
        path = " ".join(f"{600 * x / right:.1f},{200 - 200 * (y - low) / (high - low or 1):.1f}" for x, y in line)
        drawn.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        legend.append(f"<li><i style='background:{colour}'></i>{name.replace('_', ' ')} {line[-1][1]:.1f}</li>")
    return (
        f"<figure class='curves'><figcaption>The five terms, thousands of nats, over {right:.0f} steps</figcaption>"
        f"<svg viewBox='-4 -6 608 212' preserveAspectRatio='none' role='img' aria-label='the five terms'>"
        f"{''.join(drawn)}</svg><ul>{''.join(legend)}</ul></figure>"
    )


_MEASURES = {"swd": "distance", "sharp": "sharpness", "lsd": "distance (dB)"}


def _card(run: texsyn.Run, status: texsyn.Status) -> str:
    lines = [] if status.working else run.card_words()
    if not lines:
        rows = "".join(
            f"<tr><th scope='row'>step {event['step']}</th>"
            + "".join(f"<td>{_MEASURES[name]} {event[name]:.3f}</td>" for name in _MEASURES if name in event)
            + "</tr>"
            for event in status.glances[-6:]
        )
        told = "The quality card appears when learning ends. So far (distance falls, sharpness nears 1):"
        return f"<p class='quiet'>{told}</p><table class='card'>{rows}</table>"
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(word)}</th><td>{html.escape(rest.strip())}</td></tr>"
        for word, _, rest in (line.partition(" ") for line in lines)
    )
    return f"<table class='card'><caption>Quality card</caption>{rows}</table>"
