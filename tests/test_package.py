"""The wheel: it builds, and it runs where there is no checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import texsyn

ROOT = Path(__file__).parent.parent


PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no earlier build is in it."""
    return build(tmp_path_factory.mktemp("first"))


def build(folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    for name in ("texsyn", "ui"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder / "wheel"), str(source)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel


def test_two_builds_are_one_file(wheel, tmp_path):
    again = build(tmp_path)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_wheel_runs_outside_the_checkout(wheel, tmp_path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "texsyn/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "videos", "ui"))]
    assert {"texsyn_app/app.py", "texsyn_app/style.css", "texsyn_app/page.js", "texsyn_app/fitted/beans.zip"} <= set(
        names
    )
    folders = {f"texsyn/{path.parent.relative_to(ROOT / 'texsyn')}" for path in (ROOT / "texsyn").glob("*/__init__.py")}
    assert folders <= {name.rpartition("/")[0] for name in names}
    target = tmp_path / "site"
    subprocess.run([*PIP, "install", "--no-deps", "--quiet", "--target", str(target), str(wheel)], check=True)
    code = "import texsyn, texsyn.cli; print(texsyn.__file__); raise SystemExit(texsyn.cli.main(['fit', '--set', '?']))"
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(target))
    assert "gradient_penalty=" in done.stdout
    code = "import texsyn.cli; raise SystemExit(texsyn.cli.main(['app', '--port', '99999', '--runs', 'runs']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "texsyn: --port must lie in 0 to 65535, but is 99999\n")


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == texsyn.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert "arXiv:1812.10907" in str(citation["references"])


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_and_templates_are_well_formed(path):
    content = yaml.safe_load(path.read_text())
    if path.parent.name == "workflows":
        assert content["permissions"] == {"contents": "read"}  # what a job needs beyond that, it says itself
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        assert all("@v" in step["uses"] for step in steps if "uses" in step)
    elif path.name != "config.yml":
        assert {"name", "description", "body"} <= content.keys()


def test_ci_runs_what_a_workflow_calls():
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_container_is_small_and_has_no_rights():
    """Copied paths exist, the app is no root, it is asked whether it lives, and runs are kept outside."""
    lines = re.sub(r"\\\n", " ", (ROOT / "ui" / "Containerfile").read_text()).splitlines()
    rows = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    told = {name: [text for each, text in rows if each == name] for name, _ in rows}
    for text in told["COPY"]:
        assert all((ROOT / path).exists() for path in text.split()[:-1]), text
    assert told["USER"][-1] not in ("root", "0")
    assert [name for name, _ in rows].index("USER") > [name for name, _ in rows].index("RUN")
    assert told["HEALTHCHECK"]
    assert told["VOLUME"] == ["/runs"]
    assert "--runs" in told["ENTRYPOINT"][0]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "runs"} <= set(ignored)
