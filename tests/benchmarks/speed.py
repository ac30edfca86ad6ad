"""Speed of training and sampling: python tests/benchmarks/speed.py [SECTION...]

Sections: steps, sampling, crossover, batch, fleet (what 10,000 exemplars would take, computed from measurements), and
quality (a fit of --minutes to a still that --exemplar names, against published samples `authors_*` beside it). Also on
CUDA, where there is a device. Writes SPEED.md beside this file; a section that is run again replaces its old table.
Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import heapq
import shutil
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from quality import patch_match
from report import VIDEOS, best_time, table, time_command, train, write_sections
from torch.utils.flop_counter import FlopCounterMode
from ways import Ours, Plain, Textbook

import texsyn
from texsyn.core.modality import CLIP, STILL, Modality
from texsyn.metrics.scoring import score_files, score_stills, still_for_scoring, to_numpy
from texsyn.models import precision
from texsyn.training.calibration import calibrate
from texsyn.training.data import Data
from texsyn.training.state import init_state

HERE = Path(__file__).parent
DEVICES = ("cpu", *(["cuda"] if torch.cuda.is_available() else []))


def synchronise() -> None:
    """Wait until the GPU, if there is one, has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak(dtype: torch.dtype, device: str, size: int) -> float:
    """TFLOP a second of a large matrix product."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def product() -> None:
        _ = a @ b
        synchronise()

    product()
    return 2 * size**3 / best_time(product, 8) / 1e12


def arithmetic(way: Ours) -> float:
    """Counted TFLOP of a step; the mean of one with the penalty and one without."""
    with FlopCounterMode(display=False) as counter:
        way.seconds(way.recipe.penalty_interval)
    return counter.get_total_flops() / way.recipe.penalty_interval / 1e12


def steps(options: argparse.Namespace) -> str:
    """A step of each kind and recipe, against the same step as PyTorch runs it by default, and against the machine."""
    names = ["kind", "recipe", "precision", "textbook, ms", "plain, ms", "ours, ms", "textbook : ours", "plain : ours"]
    names += ["TFLOP a step", "of the peak", "GB"]
    text = ""
    for device in DEVICES:
        size = 2048 if device == "cpu" else 8192
        peaks = {each: peak(getattr(torch, each), device, size) for each in ("float32", "bfloat16")}
        rows: list[list[object]] = []
        for modality in (STILL, CLIP):
            for recipe in ("fast", "paper"):
                rows.append([modality.name, recipe, *step_row(modality, recipe, device, options.rounds, peaks)])
                print(rows[-1], flush=True)
        text += (
            f"{device}: a product of {size} x {size} matrices runs at {peaks['float32']:.2f} TFLOP/s in float32 and "
            f"{peaks['bfloat16']:.2f} in bfloat16. Textbook: each network called once for each term, double backward "
            "for the penalty, float32, contiguous, Adam with default settings. Plain: our step with these settings. A "
            "step is 2 textures of data and 2 generated ones; all are timed in turn, and the ratios are those of "
            "medians. Recipe `best` takes the steps of `fast`, but more of them. Memory is a GPU's, of all three ways "
            "together; that of a process is in the section on sampling.\n\n" + table(names, rows) + "\n"
        )
    return text


def step_row(modality: Modality, recipe: str, device: str, rounds: int, peaks: dict[str, float]) -> list[object]:
    """Precision, medians of the three ways and their ratios, arithmetic, its share of the peak, and a GPU's memory."""
    ways = [way(modality, recipe, device) for way in (Textbook, Plain, Ours)]
    work, memory = arithmetic(ways[-1]), ""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        ways[-1].seconds(2)
        memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}"
    times = [[way.seconds(2) for way in ways] for _ in range(rounds + 1)][1:]
    textbook, plain, ours = (statistics.median(column) for column in zip(*times, strict=True))
    precision_used = precision.resolve(ways[-1].recipe.precision, ways[-1].device)
    milliseconds = [f"{1000 * each:.0f}" for each in (textbook, plain, ours)]
    ratios = [f"{textbook / ours:.2f}", f"{plain / ours:.2f}"]
    share = f"{100 * work / ours / peaks[precision_used]:.0f} %"
    return [precision_used, *milliseconds, *ratios, f"{work:.3f}", share, memory]


def sampling(options: argparse.Namespace) -> str:
    """Time of sampling, in Python and by command, and memory."""
    rows: list[list[object]] = []
    models = [train(texsyn.read(VIDEOS / name), 1)[0] for name in ("beans.png", "fire.mp4")]
    for device in DEVICES:
        still, clip = (model.to(device) for model in models)

        def timed(times: int, model: texsyn.Triangle, **how: object) -> float:
            return best_time(lambda: (texsyn.sample(model, **how), synchronise()), times)

        for side, times in ((224, 20), (1024, 5), (4096, 1 if device == "cpu" else 5)):
            found = timed(times, still, size=(side, side))
            speed = f"{side**2 / found / 1e6:.2f}"
            rows.append([device, f"still, {side} x {side}", f"{1000 * found:.1f}", speed, ""])
        for frames, times in ((64, 5), (1000, 1 if device == "cpu" else 5)):
            found = timed(times, clip, frames=frames)
            speed = f"{frames * 4096 / found / 1e6:.2f}"
            rows.append([device, f"clip, {frames} frames", f"{1000 * found:.1f}", speed, f"{frames / found:.0f}"])
    text = table(["on", "in Python", "ms", "megapixels a second", "frames a second"], rows) + "\n"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        exemplar = str(VIDEOS / "beans.png")
        taken, memory = time_command("fit", exemplar, "--out", run, "--steps", "20", "--no-card", "--quiet")
        rows.append(["`texsyn fit --steps 20`, a still", f"{taken:.1f}", f"{memory:.2f}"])
        moving = str(VIDEOS / "fire.mp4")
        taken, memory = time_command("fit", moving, "--out", run + "-clip", "--steps", "20", "--no-card", "--quiet")
        rows.append(["`texsyn fit --steps 20`, a clip", f"{taken:.1f}", f"{memory:.2f}"])
        for words in (["--help"], ["sample", run, "--force", "-o", str(Path(folder) / "a.png")]):
            taken, memory = min(time_command(*words) for _ in range(3))
            rows.append(
                [f"`texsyn {words[0]}`{', 224 x 224' if words[0] == 'sample' else ''}", f"{taken:.2f}", f"{memory:.2f}"]
            )
    return text + table(["command, start-up included", "seconds", "peak memory, GB"], rows)


def crossover(options: argparse.Namespace) -> str:
    """After how many samples a model that is trained once is ahead of a tool that computes each sample anew."""
    still, _ = train(texsyn.read(VIDEOS / "beans.png"), 1)
    exemplar = still_for_scoring(VIDEOS / "beans.png")
    ours = best_time(lambda: texsyn.sample(still, size=(1024, 1024)), 3)
    if patch_match(exemplar, 0, 1024) is None:
        return "G'MIC is not installed here.\n"
    theirs = best_time(lambda: patch_match(exemplar, 0, 1024), 3)
    note = f"1024 x 1024 pixels: texsyn {ours:.2f} s, G'MIC `syntexturize_matchpatch` {theirs:.2f} s. "
    if theirs > ours:
        return note + f"After a fit of ten minutes texsyn is ahead from {600 / (theirs - ours):.0f} samples on.\n"
    return note + "A sample takes longer than G'MIC's, so texsyn is never ahead in time.\n"


def batch(options: argparse.Namespace) -> str:
    """`texsyn batch` over stills: one fit at a time with all cores, and several with a share of the cores each."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        exemplars = Path(folder) / "exemplars"
        exemplars.mkdir()
        names = ("beans", "brick", "leaves", "pebbles")
        for name in names * (2 if torch.cuda.is_available() else 1):
            shutil.copy(VIDEOS / f"{name}.png", exemplars / f"{len(list(exemplars.iterdir()))}{name}.png")
        count = len(list(exemplars.iterdir()))
        for jobs in (1, 2, *((4, 8) if torch.cuda.is_available() else ())):
            words = ["batch", str(exemplars), "--out", f"{folder}/{jobs}", "--jobs", str(jobs), "--steps", "150"]
            taken, _ = time_command(*words, "--no-card", "--set", "checkpoint_interval=1000")
            rows.append([jobs, f"{taken:.0f}", f"{count * 3600 / taken:.0f}"])
            print(rows[-1], flush=True)
    return f"{count} stills, 150 steps each, start-up included.\n\n" + table(
        ["--jobs", "seconds", "such fits an hour"], rows
    )


COUNT, MINUTES, LIFE, CORES = 10_000, 10, 24.0, 2  # exemplars, of each fit, mean hours until a node dies, per node


def fleet(options: argparse.Namespace) -> str:
    """10,000 stills on paper: list scheduling of fits of ten minutes over nodes that die and are not equally fast.

    Each free node takes the next exemplar; a fit whose node dies resumes from its newest checkpoint on the next free
    one. Nodes die at random, each once in 24 hours on average, and are replaced at once; their speeds are log-normal
    with a deviation of 10 %.
    """
    exemplar, runs = str(VIDEOS / "beans.png"), []
    with tempfile.TemporaryDirectory() as folder:
        for steps, more in ((1, ["--no-card"]), (101, ["--no-card"]), (101, [])):
            run = Path(folder) / f"{steps}{len(more)}"
            taken, _ = time_command("fit", exemplar, "--out", str(run), "--steps", str(steps), "--quiet", *more)
            runs.append(taken)
        step = (runs[1] - runs[0]) / 100
        card, start = runs[2] - runs[1], runs[0]
        kept = sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 1e6
        states = [file.stat().st_size / 1e6 for file in run.glob("checkpoints/*/*.safetensors")]
    lost, fit = 100 * step, 60 * MINUTES + start + card  # at most: what lies between two checkpoints
    rows: list[list[object]] = []
    for nodes in (1, 10, 100, 1000, COUNT):
        makespan, busy, deaths = schedule(nodes, fit, start, lost)
        at_work = busy / (makespan * nodes)
        rows.append(
            [
                nodes,
                f"{makespan / 3600:.1f}",
                f"{busy * CORES / 3600:.0f}",
                f"{busy * CORES / 3600 * options.price:.0f}",
                f"{100 * at_work:.0f} %",
                deaths,
                f"{nodes * states[0] / lost:.0f}",
            ]
        )
    note = (
        f"Measured here, {torch.get_num_threads()} thread(s): start-up to the first step's end {start:.1f} s, a step "
        f"{1000 * step:.0f} ms, the card {card:.1f} s, a checkpoint {states[0]:.0f} MB every 100 steps, a finished run "
        f"{kept:.0f} MB: {COUNT * kept / 1e6:.2f} TB for all, of which {COUNT * sum(states) / 1e6:.2f} TB are "
        "checkpoints.\n\n"
    )
    bends = (
        f"\nLimits: start-up is {100 * start / fit:.1f} % of a fit, and a death loses {lost:.0f} s of "
        f"work at most. Storage limits first: a hundred nodes write {rows[2][-1]} MB a second of checkpoints, a "
        f"thousand {rows[3][-1]}; `--set checkpoint_interval=1000` divides that by ten, and a death then loses "
        f"{10 * lost / 60:.1f} minutes at most. With as many nodes as exemplars {100 * (1 - at_work):.0f} % of their "
        "time is spent waiting for the slowest. The simulation knows no contention.\n"
    )
    head = ["nodes of 2 cores", "hours", "core hours", f"cost at {options.price:g} a core hour", "at work"]
    return note + table([*head, "nodes that died", "MB a second to shared storage"], rows) + bends


def schedule(nodes: int, fit: float, start: float, lost: float) -> tuple[float, float, int]:
    """Seconds until the last fit ends, seconds during which nodes worked, and how many of them died."""
    random = np.random.default_rng(0)
    speeds = np.exp(random.normal(0, 0.1, nodes))
    free = [(0.0, node) for node in range(nodes)]
    waiting = deque([(fit, 0.0)] * COUNT)  # seconds left of each fit, and since when it waits
    ends, busy, deaths = 0.0, 0.0, 0
    while waiting:
        now, node = heapq.heappop(free)
        left, since = waiting.popleft()
        now = max(now, since)
        takes, dies = left / speeds[node], random.exponential(3600 * LIFE)
        if dies < takes:
            deaths += 1
            takes = dies
            done = max(0.0, dies * speeds[node] - random.uniform(0, lost))
            waiting.append((min(fit, left - done + start), now + takes))
        busy += takes
        ends = max(ends, now + takes)
        heapq.heappush(free, (now + takes, node))
    return ends, busy, deaths


def time_to_quality(options: argparse.Namespace) -> str:
    """How PS falls with the minutes of a fit, without the time of sampling and scoring; three samples."""
    if options.exemplar is None:
        raise SystemExit("name an exemplar with --exemplar")
    exemplar = texsyn.read(options.exemplar)
    original = still_for_scoring(options.exemplar)
    published = sorted(options.exemplar.parent.glob("authors_*"))
    goal = score_files(options.exemplar, published).metrics if published else {}
    device = DEVICES[-1]
    recipe = texsyn.recipe_for("fast", exemplar.modality, minutes=options.minutes)
    triangle, due, rows, reached = texsyn.create(exemplar, recipe).to(device), 1, list[list[object]](), ""
    state = init_state(triangle, recipe, [exemplar])
    for report in texsyn.fit(triangle, exemplar, recipe, state):
        if report.seconds >= due * options.every or report.done:
            due += 1
            begun = time.perf_counter()
            data = Data.of([exemplar], state.pixels([exemplar]), triangle.modality, recipe)
            calibrate(triangle, recipe, data)
            samples = [to_numpy(each) for each in texsyn.sample(triangle, count=3, size=(224, 224))]
            card = score_stills(samples, original).metrics
            at = f"{report.seconds / 60:.1f}"
            rows.append([at, report.step, *(f"{card[name]:.3f}" for name in ("ps", "swd", "sharp"))])
            print(rows[-1], flush=True)
            if goal and not reached and card["ps"] <= goal["ps"]:
                reached = at
            if report.done:
                break
            state.seconds -= time.perf_counter() - begun  # a fit counts the time of its caller
    theirs = (
        f"Published samples have PS {goal['ps']:.3f} and SWD {goal['swd']:.3f}: PS is reached "
        + (f"after {reached} minutes. " if reached else "at no time. ")
        if goal
        else ""
    )
    shown = f"{options.minutes:g} minutes of recipe `fast` on {device}, {options.exemplar.parent.name}. {theirs}"
    falling = f"Rates fall from {(1 - recipe.lr_decay_fraction) * options.minutes:.1f} minutes on.\n\n"
    return shown + falling + table(["minutes", "steps", "PS", "SWD", "sharp"], rows)


SECTIONS = {
    "steps": steps,
    "sampling": sampling,
    "crossover": crossover,
    "batch": batch,
    "fleet": fleet,
    "quality": time_to_quality,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exemplar", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=60, help="seconds from one scoring to the next, in quality")
    parser.add_argument("--price", type=float, default=0.05, help="of a core hour, in fleet")
    texsyn.tune()  # as every command does
    by_default = [name for name in SECTIONS if name != "quality"]
    write_sections(parser, SECTIONS, HERE / "SPEED.md", "Speed, by `speed.py`", by_default)


if __name__ == "__main__":
    main()
