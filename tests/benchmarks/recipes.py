"""Compare settings of a recipe, paired: python tests/benchmarks/recipes.py FOLDER EXEMPLAR... --settings A B [...]

A setting is a comma-separated list of recipe fields, such as `latent_prior=normal,sigma=0.2`; `default` changes
nothing. Every exemplar is trained with each of them for the same steps (--seeds of training), two fits side by side
with one thread each, and samples of seeds 0, 1, 2 (tiling) are scored. Prints each row, and for each setting the mean
difference from the first one over exemplars and seeds with its standard error. Runs and a montage of 672 x 448 samples
stay in FOLDER, and what is there is not trained again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import report
from PIL import Image

from texsyn.metrics.scoring import score_stills, still_for_scoring

METRICS = ("ps", "swd", "sharp", "vcf")
Case = tuple[Path, str, int]  # exemplar, setting, seed of training


def folder_of(case: Case, options: argparse.Namespace) -> Path:
    exemplar, setting, seed = case
    name = exemplar.parent.name if exemplar.stem == "exemplar" else exemplar.stem
    return Path(options.folder) / f"{name}-{options.steps}-{setting.replace(',', '-')}-{seed}"


def fit_and_sample(case: Case, options: argparse.Namespace) -> None:
    """Train one run on one thread and sample it, where that is not done yet."""
    exemplar, setting, seed = case
    folder = folder_of(case, options)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "texsyn", *words], check=True, env=environment, stdout=subprocess.PIPE)

    changes = [] if setting == "default" else [part for each in setting.split(",") for part in ("--set", each)]
    if not (folder / "run" / "model").exists():
        budget = ["--levels", "0", "--steps", str(options.steps), "--seed", str(seed), "--no-card", "--quiet"]
        command("fit", str(exemplar), "--out", str(folder / "run"), *budget, *changes)
    if not (folder / "large.png").exists():
        command("sample", str(folder / "run"), "--count", "3", "--size", "224x224", "-o", str(folder / "samples"))
        command("sample", str(folder / "run"), "--size", "672x448", "-o", str(folder / "large.png"))


def score(case: Case, options: argparse.Namespace) -> dict[str, float]:
    samples = sorted((folder_of(case, options) / "samples").iterdir())
    return score_stills([still_for_scoring(path) for path in samples], still_for_scoring(case[0])).metrics


def differences(scores: dict[Case, dict[str, float]], options: argparse.Namespace) -> str:
    """A table: mean difference of each setting from the first, and its standard error."""
    first, *others = options.settings
    rows: list[list[object]] = []
    for setting in others:
        apart = defaultdict(list)
        for (exemplar, of, seed), metrics in scores.items():
            if of == setting:
                for name in METRICS:
                    apart[name].append(metrics[name] - scores[exemplar, first, seed][name])
        cells = (spread(apart[name]) for name in METRICS)
        rows.append([f"{setting} less {first}", *cells])
    return report.table(["difference", *METRICS], rows)


def spread(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):+.3f} ({error:.3f})"


def montage(cases: list[Case], options: argparse.Namespace) -> None:
    """One row for each exemplar and seed: the exemplar, and a sample of each setting."""
    width, height = 672 + 4, 448 + 4
    keys = list(dict.fromkeys((exemplar, seed) for exemplar, _, seed in cases))
    page = Image.new("RGB", (228 + width * len(options.settings), height * len(keys)), "white")
    for row, (exemplar, seed) in enumerate(keys):
        with Image.open(exemplar) as image:
            page.paste(image.convert("RGB").resize((224, 224)), (0, row * height))
        for column, setting in enumerate(options.settings):
            with Image.open(folder_of((exemplar, setting, seed), options) / "large.png") as image:
                page.paste(image, (228 + column * width, row * height))
    page.save(Path(options.folder) / f"montage-{options.steps}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("exemplars", type=Path, nargs="+")
    parser.add_argument("--settings", nargs="+", default=["default"])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    cases = list(product(options.exemplars, options.settings, options.seeds))
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda case: fit_and_sample(case, options), cases))
    scores = {case: score(case, options) for case in cases}
    rows: list[list[object]] = [
        [folder_of(case, options).name, *(f"{scores[case][name]:.3f}" for name in METRICS)] for case in cases
    ]
    print(report.table(["run", *METRICS], rows))
    print(differences(scores, options))
    print(report.machine())
    montage(cases, options)


if __name__ == "__main__":
    main()
