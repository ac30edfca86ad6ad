"""The house: imports point one way, one file knows the number of axes."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_public_names_are_resolved_and_seen_by_type_checkers(tmp_path):
    assert texsyn.__all__ == ["__version__", *texsyn._WHERE]
    assert all(hasattr(texsyn, name) for name in texsyn.__all__)
    typed = ast.walk(ast.parse((PACKAGE / "__init__.py").read_text()))
    imported = {each.name for node in typed if isinstance(node, ast.ImportFrom) for each in node.names}
    assert set(texsyn.__all__) <= imported


def test_the_app_is_a_customer_of_the_public_package():
    for path in (ROOT / "ui").glob("*.py"):
        assert imports(path) <= set(texsyn.__all__)


def test_nothing_reads_or_writes_pickle():
    for path in modules():
        assert not re.search(r"\bpickle\b|torch\.(save|load)\(|allow_pickle", path.read_text())
