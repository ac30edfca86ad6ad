"""The house: imports point one way, one file knows the number of axes, README says what is true."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw

import texsyn

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "texsyn"
LAYERS = ("core", "media models", "training synthesis metrics", "runs", "jobs", "cli")
ABOVE = {folder: level for level, row in enumerate(LAYERS) for folder in row.split()}  # how many layers lie below it


def modules() -> list[Path]:
    return sorted(path for folder in ABOVE for path in (PACKAGE / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Modules of texsyn that a file imports, as `folder.module`; names of the package itself as they are."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.removeprefix("texsyn.") for each in node.names if each.name.startswith("texsyn.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "texsyn":
            inside = (node.module or "").removeprefix("texsyn").removeprefix(".")
            found |= {f"{inside}.{each.name}" if inside in ABOVE else inside or each.name for each in node.names}
    return found


def test_every_file_has_its_folder():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ABOVE)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}
    assert len(modules()) > 50


@pytest.mark.parametrize("folder", ABOVE)
def test_a_folder_imports_itself_or_an_earlier_layer(folder):
    for path in (PACKAGE / folder).rglob("*.py"):
        for name in imports(path):
            other = name.split(".")[0]
            assert other in ABOVE, f"{path.name} imports {name} from the package that it is a part of"
            assert other == folder or ABOVE[other] < ABOVE[folder], f"{folder}/{path.name} imports {name}"


@pytest.mark.parametrize("folder", ABOVE)
def test_no_module_imports_itself_through_others(folder):
    inside = {f"{folder}.{path.stem}": imports(path) for path in (PACKAGE / folder).glob("[!_]*.py")}
    graph = {name: {each for each in found if each in inside} for name, found in inside.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)


def test_the_tables_load_no_torch():
    code = "import sys, texsyn.core.modality, texsyn.core.recipes, texsyn.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_layers_names_convolutions_by_their_axes():
    named = {p.stem for p in modules() if re.search(r"[Cc]onv\w*[23]d\(", p.read_text())}
    assert named <= {"layers", "precision"}  # precision times one layer to choose


def test_the_app_is_a_customer_of_the_public_package():
    for path in (ROOT / "ui").glob("*.py"):
        assert imports(path) <= set(texsyn.__all__)


def test_nothing_reads_or_writes_pickle():
    for path in modules():
        assert not re.search(r"\bpickle\b|torch\.(save|load)\(|allow_pickle", path.read_text())


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readmes_python_runs(tmp_path):
    code = next(block for block in blocks("python") if "import texsyn" in block)
    short = code.replace("minutes=5", "steps=2, width_multiplier=0.1, batch_size=1")
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
            words = [
                *(w for w in words if not w.isdigit() and w != "--minutes"),
                "--steps",
                "1",
                "--set",
                "width_multiplier=0.1",
            ]
            words += ["--set", "batch_size=1", "--no-card"]
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    without_texsyn = next(block for block in blocks("python") if "onnxruntime" in block)
    command = [sys.executable, "-W", "error", "-c", without_texsyn]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"mended.png", "morph.mp4", "across.png", "beans-onnx.png"} <= {path.name for path in tmp_path.iterdir()}
