"""The wheel: it builds, and it runs where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_runs_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path / "wheel"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "texsyn/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "videos", "ui"))]
    assert {"texsyn_app/app.py", "texsyn_app/style.css", "texsyn_app/page.js"} <= set(names)
    folders = {f"texsyn/{path.parent.relative_to(ROOT / 'texsyn')}" for path in (ROOT / "texsyn").glob("*/__init__.py")}
    assert folders <= {name.rpartition("/")[0] for name in names}
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--quiet", "--target", str(target), str(wheel)], check=True)
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
