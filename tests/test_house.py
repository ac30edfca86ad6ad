"""The house: imports point one way, one file knows the number of axes, README says what is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw

import texsyn

ROOT = Path(__file__).parent.parent
LEVELS = {
    "errors": 0,
    "tuning": 0,
    "modality": 0,
    "grids": 0,
    "products": 1,
    "layers": 2,
    "spectrum": 0,
    "storage": 3,
    "decoding": 3,
    "holes": 3,
    "media": 4,
    "stills": 3,
    "motion": 3,
    "corrections": 3,
    "networks": 3,
    "writing": 4,
    "triangle": 4,
    "recipes": 5,
    "inference": 5,
    "exporting": 5,
    "judging": 5,
    "albums": 5,
    "basins": 9,
    "draws": 5,
    "precision": 3,
    "settling": 6,
    "training": 7,
    "checkpoints": 8,
    "sampling": 5,
    "quality": 6,
    "models": 5,
    "sheets": 6,
    "runs": 9,
    "jobs": 10,
    "screen": 10,
    "options": 10,
    "summary": 10,
    "making": 11,
    "asking": 11,
    "batches": 11,
    "cluster": 10,
    "cli": 12,
    "__main__": 13,
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "texsyn":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("texsyn."):
            found.add((node.module or "").split(".")[1])
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "texsyn").glob("*.py")), ids=lambda p: p.stem)
def test_imports_point_one_way(path):
    if path.stem != "__init__":
        assert {name for name in imports(path) & LEVELS.keys() if LEVELS[name] >= LEVELS[path.stem]} == set()


def test_only_layers_names_convolutions_by_their_axes():
    named = {p.stem for p in (ROOT / "texsyn").glob("*.py") if re.search(r"[Cc]onv\w*[23]d\(", p.read_text())}
    assert named <= {"layers", "precision"}  # precision times one layer to choose


def test_the_app_is_a_customer_of_the_public_package():
    for path in (ROOT / "ui").glob("*.py"):
        assert imports(path) <= set(texsyn.__all__)


def test_nothing_reads_or_writes_pickle():
    for path in (ROOT / "texsyn").glob("*.py"):
        assert not re.search(r"\bpickle\b|torch\.(save|load)\(|allow_pickle", path.read_text())


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readmes_python_runs(tmp_path):
    code = next(block for block in blocks("python") if "import texsyn" in block)
    short = code.replace("minutes=5", "steps=2, width=0.1, batch=1")
    assert short != code
    command = [sys.executable, "-W", "error", "-c", short]
    (tmp_path / "videos").symlink_to(ROOT / "videos")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "beans-512.png").exists()


def test_the_readmes_commands_run(tmp_path):
    (tmp_path / "videos").symlink_to(ROOT / "videos")
    (tmp_path / "textures").mkdir()
    draw(tmp_path / "textures" / "waves.png")
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("texsyn ")]
    assert len(lines) >= 4
    for line in lines:
        words = line.split("#")[0].split()
        if words[1] in ("fit", "batch"):
            words = [*(w for w in words if not w.isdigit() and w != "--minutes"), "--steps", "1", "--set", "width=0.1"]
            words += ["--set", "batch=1", "--no-card"]
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    without_texsyn = next(block for block in blocks("python") if "onnxruntime" in block)
    command = [sys.executable, "-W", "error", "-c", without_texsyn]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"mended.png", "morph.mp4", "across.png", "beans-onnx.png"} <= {path.name for path in tmp_path.iterdir()}
