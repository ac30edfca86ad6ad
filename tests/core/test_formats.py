"""The tables of file formats agree with what is read and written, and load neither torch nor numpy."""

import subprocess
import sys
from pathlib import Path

import pytest

import texsyn
from texsyn import TexsynError
from texsyn.core import formats
from texsyn.core.errors import Exit
from texsyn.media.encoders import ENCODERS


def test_every_format_has_an_encoder():
    assert set(formats.ALL_FORMATS) == set(ENCODERS)
    assert set(texsyn.formats(True)) | set(texsyn.formats(False)) == set(ENCODERS)


@pytest.mark.parametrize("moving", [False, True])
def test_endings_choose_the_format_that_ends_so(moving):
    for ending in formats.written_endings(moving):
        format = formats.format_for(Path(f"out{ending.upper()}"), moving)
        assert ending in formats.endings_of(format, moving)
        assert ending in formats.WRITTEN_ENDINGS
    assert formats.format_for(Path("out.jpeg"), False) == "jpg"


def test_endings_that_choose_none_are_refused():
    for name, moving, said in (
        ("out.mp4", False, r"a still is written to \.png"),
        ("out.png", True, r"a clip .* \.mp4"),
    ):
        with pytest.raises(TexsynError, match=said) as caught:
            formats.format_for(Path(name), moving)
        assert caught.value.exit is Exit.USAGE


def test_the_tables_are_light():
    code = "import sys, texsyn; texsyn.ENDINGS, texsyn.formats(True); assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
