"""Statuses and exemplars in words."""

from __future__ import annotations

import html

import texsyn
from texsyn import Exemplar, Status


def describe_status(status: Status) -> str:
    """A status in one sentence."""
    steps = f"{texsyn.in_steps(status.step)} in {texsyn.duration(status.seconds)}"
    return {
        "new": "Not started yet.",
        "queued": f"Waiting for {status.ahead} other fit{'s' if status.ahead != 1 else ''} on this machine.",
        "running": f"Training: {steps}, {texsyn.duration(status.remaining)} left." if status.step else "Starting.",
        "finished": f"Finished: {steps}.",
        "stopped": f"Stopped after {steps}. The model is kept.",
        "interrupted": f"Interrupted after {steps}: the process ended. Continue resumes from the last checkpoint.",
        "diverged": f"Diverged after {steps}: {status.message}",
        "failed": f"Failed: {status.message or 'see log.txt in the run folder'}",
    }[status.state]


def describe_briefly(status: Status) -> str:
    """A status in a few words, for lists; nothing for a finished run."""
    left = f"{texsyn.duration(status.remaining)} left" if status.step else "starting"
    return {"running": left, "queued": "waiting", "finished": ""}.get(status.state, status.state)


def describe_exemplar(exemplar: Exemplar) -> str:
    """How an upload was read, as HTML: kind, size, masked share, and what may make it hard to train on."""
    facts = exemplar.facts
    size = f"{facts['width']} x {facts['height']} pixels"
    if "frames" in facts:
        size += f", {facts['used_frames']} of {facts['frames']} frames"
    trained = " x ".join(str(n) for n in exemplar.size[:-3:-1])
    planes = exemplar.modality.planes
    what = f"<b>{html.escape(exemplar.modality.name.capitalize())}</b>"
    if len(planes) > 1:
        what += f" of {html.escape(', '.join(plane.name for plane in planes))}"
    lines = [f"{what}, {size}, trained at {trained} pixels."]
    if "elements" in facts:
        count = len(exemplar.modality.factors)
        levels = f", so a base and {count} level{'s' * (count > 1)} of detail are trained" if count else ""
        lines.append(f"What it shows is about {facts['elements']} pixels large{levels}.")
    if exemplar.mask is not None:
        lines.append(f"{100 * float(exemplar.mask.mean()):.0f} % of it is masked, and will be estimated.")
    lines += [html.escape(remark) for remark in texsyn.remarks(exemplar)]
    return "<br>".join(lines)
