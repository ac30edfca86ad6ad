"""The course of a run as HTML: the loss terms as a chart, metrics as a table.

Charts are SVG: gradio's own plot draws itself again and again in a hidden tab.
"""

from __future__ import annotations

import html

from texsyn import Run, Status

_COLOURS = ("#0d9488", "#b45309", "#4338ca", "#be185d", "#64748b")  # of the five terms; easy to tell apart
_WIDTH, _HEIGHT = 600, 200
_QUICK_METRICS = {"swd": "distance", "sharp": "sharpness", "lsd": "distance (dB)"}
_ROWS = 6  # of quick metrics: the newest

Curve = list[tuple[float, float]]  # step and value


def loss_chart(status: Status) -> str:
    """The five loss terms over the steps, with a legend of their newest values; nothing before the second point."""
    if len(status.curves) < 2:
        return ""
    curves = _loss_curves(status)
    points = [point for curve in curves.values() for point in curve]
    last = max(step for step, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    lines, legend = [], []
    for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
        lines.append(_polyline(curve, colour, last, low, high))
        legend.append(f"<li><i style='background:{colour}'></i>{name.replace('_', ' ')} {curve[-1][1]:.1f}</li>")
    return (
        f"<figure class='curves'><figcaption>The five loss terms, in thousands of nats, over {last:.0f} steps"
        f"</figcaption><svg viewBox='-4 -6 {_WIDTH + 8} {_HEIGHT + 12}' preserveAspectRatio='none' role='img' "
        f"aria-label='the five loss terms'>{''.join(lines)}</svg><ul>{''.join(legend)}</ul></figure>"
    )


def metrics_table(run: Run, status: Status) -> str:
    """The quality card of a run; while it trains, the newest quick metrics."""
    lines = [] if status.working else run.describe_cards()
    if lines:
        return f"<table class='card'><caption>Quality card</caption>{''.join(map(_card_row, lines))}</table>"
    note = "The quality card appears when training ends. Quick metrics (distance falls, sharpness approaches 1):"
    rows = "".join(map(_quick_metrics_row, status.quick_metrics[-_ROWS:]))
    return f"<p class='quiet'>{note}</p><table class='card'>{rows}</table>"


def _loss_curves(status: Status) -> dict[str, Curve]:
    """Each term's curve, in thousands of nats."""
    curves: dict[str, Curve] = {}
    for event in status.curves:
        for name, value in event.get("terms", {}).items():
            curves.setdefault(name, []).append((float(event["step"]), value / 1000))
    return curves


def _polyline(curve: Curve, colour: str, last: float, low: float, high: float) -> str:
    scaled = ((_WIDTH * step / last, _HEIGHT - _HEIGHT * (value - low) / (high - low or 1)) for step, value in curve)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in scaled)
    return f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>"


def _card_row(line: str) -> str:
    name, _, values = line.partition(" ")
    return f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(values.strip())}</td></tr>"


def _quick_metrics_row(event: dict[str, float]) -> str:
    values = (f"<td>{label} {event[name]:.3f}</td>" for name, label in _QUICK_METRICS.items() if name in event)
    return f"<tr><th scope='row'>step {event['step']}</th>{''.join(values)}</tr>"
