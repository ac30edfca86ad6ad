"""What the documents say is true: their commands and code run, their links lead somewhere, the manuals are complete."""

from __future__ import annotations

import argparse
import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import numpy as np
import pytest
from conftest import TINY, TINY_WORDS, draw
from server import queue_fits_in

import texsyn
from texsyn.cli import main
from texsyn.core.errors import Exit
from texsyn.core.formats import ALL_FORMATS
from texsyn.core.modality import CLIP, MODALITIES, OBJECTS, STILL
from texsyn.core.recipes import OBJECTIVES, RECIPES, Recipe, recipe_for
from texsyn.metrics.card import CLIP_METRICS, STILL_METRICS

ROOT = Path(__file__).parent.parent
HIDDEN = (".venv", ".git", ".pytest_cache", "build", "dist", "demo", "runs")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if path.relative_to(ROOT).parts[0] not in HIDDEN and "node_modules" not in path.parts
)
RECORDS = ("CHANGELOG.md", *(name for name in DOCUMENTS if re.fullmatch(r"tests/benchmarks/[A-Z]+\.md", name)))
MANUALS = [name for name in DOCUMENTS if name not in RECORDS or name.endswith("README.md")]
OPTIONAL = ("cv2", "gmic", "skimage", "sklearn", "onnxruntime")  # that benchmarks import, and tests do without
SMALLEST = {"complete": "--refine 1", "landscape": "--starts 1 --steps 1", "morph": "--frames 4"}
CLIENT = "gradio_client"  # tests/ui/test_endpoints.py runs what follows its import in ui/README.md


class Block(NamedTuple):
    language: str
    text: str


def read(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(document: str) -> list[Block]:
    return [Block(*each) for each in re.findall(r"^```(\w*)\n(.*?)^```$", read(document), re.S | re.M)]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def commands(block: Block) -> list[list[str]]:
    """The words of each line, without comments."""
    lines = (shlex.split(line, comments=True) for line in block.text.splitlines())
    return [words for words in lines if words]


WITH_BLOCKS = [name for name in DOCUMENTS if blocks(name)]

# ------------------------------------------------------------ what runs


class Parsed(Exception):
    """Raised in place of what follows when options were parsed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parse_only(call: Callable[[], Any], words: list[str]) -> argparse.ArgumentParser:
    """Run a program up to where it has parsed `words`; returns its parser. Wrong words end in SystemExit."""
    original = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        original(self, words)
        raise Parsed(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", ["program", *words])
        for name in OPTIONAL:
            if importlib.util.find_spec(name) is None:
                patch.setitem(sys.modules, name, MagicMock())
        with pytest.raises(Parsed) as caught:
            call()
    return caught.value.parser


def parse_script(path: str, words: list[str]) -> argparse.ArgumentParser:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((ROOT / path).parent))  # as Python does for a script
        return parse_only(lambda: runpy.run_path(str(ROOT / path), run_name="__main__"), words)


def parse_texsyn(words: list[str]) -> argparse.ArgumentParser:
    return parse_only(main, words)


def shortened(words: list[str]) -> list[str]:
    """The words of a `texsyn` command with a budget of one step (or one more), tiny networks and small numbers."""
    if words[0] not in ("fit", "batch"):
        smaller = "--langevin 1" if "--langevin" in words else SMALLEST.get(words[0], "")
        return [*words, *(smaller.split() if "--across" not in words else [])]
    budgets = {place for place, word in enumerate(words) if word in ("--minutes", "--steps")}
    kept = [word for place, word in enumerate(words) if not budgets & {place, place - 1}]
    if "--resume" in words:
        return [*kept, "--steps", "2", "--no-card"]
    return [*kept, "--steps", "1", "--no-card", *TINY_WORDS]


def short_code(code: str) -> str:
    code = re.sub(r"\b(refine|steps)=\d+", r"\1=2", code)
    code = re.sub(r"(FitOptions\([^)]*)minutes=[\d.]+", rf"\1steps=2, set={TINY}", code)
    return re.sub(r"\bminutes=[\d.]+", f"steps=2, {', '.join(TINY)}", code)


def run_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    program, *rest = words
    if rest[:1] == ["app"]:  # it would serve until it is told to end
        parse_script("ui/app.py", rest[1:])
    elif rest[:1] == ["export"]:  # a graph takes a minute to write; tests/synthesis/test_onnx_export.py does
        parse_texsyn(rest)
        write_stand_in(Path(rest[rest.index("-o") + 1]))
    elif program == "texsyn":
        exit = main(shortened(rest))
        assert exit == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"
    elif program == "make":
        subprocess.run(["make", "-n", *rest], cwd=ROOT, check=True, capture_output=True)
    elif program == "python":
        parse_script(rest[0], rest[1:])
    else:
        pytest.fail(f"no test runs {shlex.join(words)}")


def write_stand_in(path: Path) -> None:
    """A graph with the input and output of an exported generator of stills."""
    onnx = pytest.importorskip("onnx")
    helper, kernel = onnx.helper, np.ones((8, 3, 32, 32), np.float32)
    shapes = {"z": ["n", 8, "y", "x"], "texture": ["n", 3, "h", "w"]}
    z, texture = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items())
    nodes = [
        helper.make_node("ConvTranspose", ["z", "kernel"], ["sum"], strides=[32, 32]),
        helper.make_node("Tanh", ["sum"], ["texture"]),
    ]
    graph = helper.make_graph(nodes, "generator", [z], [texture], [onnx.numpy_helper.from_array(kernel, "kernel")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what the documents' commands find: shipped exemplars, a folder of textures, one of small images."""
    (tmp_path / "videos").symlink_to(ROOT / "videos")
    for folder in ("textures", "digits"):
        (tmp_path / folder).mkdir()
    draw(tmp_path / "textures" / "waves.png")
    for number in range(20):
        draw(tmp_path / "digits" / f"{number}.png", (28, 28), lambda image, n=number: image.rotate(9 * n).convert("L"))
    monkeypatch.chdir(tmp_path)
    with queue_fits_in(tmp_path):
        yield tmp_path


@pytest.mark.usefixtures("few_crops")
@pytest.mark.parametrize("document", WITH_BLOCKS)
def test_commands_and_code_run(document, workplace, capsys):
    names: dict[str, Any] = {"__name__": "__main__"}
    client = False
    for block in blocks(document):
        client = client or CLIENT in block.text
        if block.language == "python" and not client:
            exec(compile(short_code(block.text), document, "exec"), names)
        elif block.language == "sh":
            for words in commands(block):
                run_line(words, capsys)
        elif block.language == "bash":  # needs a cluster
            lines = [line for line in block.text.splitlines() if "texsyn " in line]
            assert lines
            for line in lines:
                parse_shell(line)
        else:
            assert block.language == "text" or client, f"no test covers a block of {block.language or 'no language'}"
    assert not client or document == "ui/README.md"


def parse_shell(line: str) -> None:
    """Parse the commands of texsyn in a line of a shell; a line may install extras instead."""
    found = re.findall(r"\btexsyn ((?:[a-z]+) [^'\n]*)", line)
    assert found, line
    for command in found:
        words = shlex.split(command, comments=True)
        parse_script("ui/app.py", words[1:]) if words[0] == "app" else parse_texsyn(words)


# ------------------------------------------------------------ what is there


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text, folder = without_blocks(read(document)), (ROOT / document).parent
    for link in re.findall(r"\]\(([^)\s]+)\)|\bsrc=\"([^\"]+)\"", text):
        path, _, anchor = "".join(link).partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (folder / path).resolve() if path else ROOT / document
        assert target.exists(), f"{document} links to {path}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{document} links to #{anchor} of {target.name}"


def anchors(text: str) -> set[str]:
    """Anchors of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "CHANGELOG.md"])
def test_files_that_are_named_exist(document):
    """Paths from the root in code spans, scripts that `python` is called with, targets of make, and extras."""
    spans = re.findall(r"`([^`\n]+)`", without_blocks(read(document)))
    for span in spans:
        for path in re.findall(r"^(?:python )?((?:texsyn|tests|videos|ui)/[\w./-]+)", span):
            assert (ROOT / path.rstrip("/")).exists(), f"{document} names {path}"
        for target in re.findall(r"^make ([a-z]+)$", span):
            assert re.search(rf"^{target}:", read("Makefile"), re.M), f"{document} names make {target}"
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"texsyn\[(\w+)\]", read(document))) <= set(extras)


def test_the_front_page_is_short():
    prose = re.sub(r"^\|.*$", "", without_blocks(read("README.md")), flags=re.M)  # without tables
    prose = re.sub(r"\]\([^)]*\)", "]", re.sub(r"!\[[^]]*\]\([^)]*\)|<[^>]+>", "", prose))  # nor images and addresses
    assert 550 <= len(re.findall(r"\S*\w\S*", prose)) <= 700


# ------------------------------------------------------------ what is complete


def subcommands() -> dict[str, argparse.ArgumentParser]:
    parser = parse_texsyn(["info", "."])
    (action,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return dict(action.choices)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


def test_every_command_and_option_is_in_its_manual():
    parts = re.split(r"^## (.*)$", read("texsyn/cli/README.md"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    parsers = subcommands()
    assert {f"texsyn {name}" for name in parsers} == {name for name in sections if name.startswith("texsyn ")}
    for name, parser in parsers.items():
        text = sections[f"texsyn {name}"] + sections["Shared options"]
        mentioned = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", without_blocks(text)))
        assert options_of(parser) <= mentioned, f"texsyn {name}"


def test_options_that_are_mentioned_exist():
    known = {"--help", "--version"}.union(*map(options_of, subcommands().values()))
    known |= options_of(parse_script("ui/app.py", []))
    for document in MANUALS:
        mentioned = set(re.findall(r"`(--[a-z][a-z-]*)", without_blocks(read(document))))
        assert mentioned <= known, document


def test_every_public_name_is_in_the_manual():
    text = without_blocks(read("texsyn/README.md"))
    for name in (*texsyn.__all__, *MODALITIES, *RECIPES, *(field.name for field in fields(Recipe))):
        assert f"`{name}`" in text, name
    for folder in (path.name for path in (ROOT / "texsyn").iterdir() if (path / "__init__.py").exists()):
        assert f"`{folder}/`" in text, folder


def test_recipes_are_as_the_manual_says():
    text = read("texsyn/README.md")
    for names, values in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \| [^|]*(?:\\\|[^|]*)*\|$", text, re.M):
        found = re.findall(r"`(\w+)`", names)
        if set(found) <= {field.name for field in fields(Recipe)}:
            stated = values.strip().split(", ") * (len(found) if "," not in values else 1)
            actual = [getattr(RECIPES["fast"], name) for name in found]
            assert [shown(value) for value in actual] == stated, names
    for name in RECIPES:
        steps = [f"{recipe_for(name, kind).steps:,}" for kind in (STILL, CLIP, OBJECTS[0])]
        assert f"| `{name}` | {' | '.join(steps)} |" in text


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"


def test_tables_of_choices_are_complete():
    text = read("texsyn/cli/README.md")
    for name in (*ALL_FORMATS, *RECIPES, *OBJECTIVES):
        assert f"`{name}`" in text, name
    codes = {number for row in re.findall(r"^\| (\d+(?:, \d+)*) \| ", text, re.M) for number in row.split(", ")}
    assert codes == {str(int(code)) for code in Exit}
    for name in (*STILL_METRICS, *CLIP_METRICS):
        assert f"`{name}`" in read("tests/benchmarks/README.md"), name
    for path in (ROOT / "ui").glob("*.py"):
        assert f"`{path.name}`" in read("ui/README.md"), path.name
    for path in (ROOT / "videos").iterdir():
        assert path.suffix in (".py", ".md", "") or f"`{path.name}`" in read("videos/README.md"), path.name
