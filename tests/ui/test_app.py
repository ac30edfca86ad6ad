"""The command that starts the app, and what holds for all pages: accessibility, and the width of a phone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from browser import require_browser
from server import APP

from texsyn.cli.entry import main


def start(*options: str) -> subprocess.CompletedProcess[str]:
    """Start the app with options that it refuses."""
    command = [sys.executable, str(APP), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_pages_are_accessible(tab, trained_run):
    for theme in ("dark", "light"):
        for name in ("Train", "Sample", "Repair", "Morph", "Check"):
            tab.open_tab(name)
            tab.page.wait_for_timeout(500)
            assert tab.accessibility_violations() == [], (theme, name)
        tab.page.locator("#theme").click()


def test_a_reload_returns_to_the_page(tab, trained_run):
    for name, there in (("Sample", "#new-samples"), ("Check", "#find-anomalies"), ("Train", "#pause")):
        tab.open_tab(name)
        tab.page.locator(there).wait_for()
        tab.page.wait_for_timeout(1000)
        tab.reload()
        tab.page.locator(there).wait_for()
        assert tab.page.get_by_role("tab", name=name, selected=True).count() == 1


def test_nothing_is_wider_than_the_page(tab, trained_run):
    tab.wait_for_picture("steps")
    for width in (390, 768, 1280, 1920):
        tab.page.set_viewport_size({"width": width, "height": 900})
        for name in ("Train", "Sample", "Repair", "Morph", "Check"):
            tab.open_tab(name)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, (width, name)
        tab.screenshot(f"width-{width}")


def test_other_addresses_than_loopback_need_a_login():
    done = start("--host", "0.0.0.0")
    assert done.returncode == 2
    assert "needs --auth" in done.stderr


def test_a_folder_or_a_port_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for options, message in (
            (["--runs", str(tmp_path / "file")], "is not a folder"),
            (["--runs", str(tmp_path / "runs"), "--port", port], f"port {port}: Address already in use: --port "),
            (["--runs", str(tmp_path / "runs"), "--port", "99999"], "--port must lie in 0 to 65535"),
        ):
            done = start(*options)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
            assert message in done.stderr


def test_the_command_starts_the_app_and_opens_a_browser(tmp_path):
    """`texsyn app --open`, with a browser that writes down what it is asked to open."""
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    browser.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["app", "--port", str(port), "--runs", str(tmp_path / "runs"), "--untimed", "--open"]
    environment = {**os.environ, "BROWSER": str(browser), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "texsyn", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            deadline = time.monotonic() + 30
            while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            process.terminate()
    assert lines[0].startswith(f"texsyn: http://127.0.0.1:{port}/")
    assert lines[1].startswith("texsyn: trains on ")
    assert (tmp_path / "opened").read_text().strip() == f"http://127.0.0.1:{port}/"


def test_a_missing_app_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr("texsyn.cli.app._NEEDED", ("no_such_package",))
    assert main(["app"]) == 2
    assert capsys.readouterr().err == "texsyn: the app is not installed: pip install 'texsyn[ui]'\n"


def test_a_theme_is_remembered(tab):
    dark = "document.body.classList.contains('dark')"
    tab.page.wait_for_function(dark)
    tab.page.locator("#theme").click()
    tab.page.wait_for_function(f"!{dark}")
    tab.reload()
    tab.page.wait_for_function(f"!{dark} && document.querySelector('#theme').textContent === 'Dark'")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_browser_fails_in_continuous_integration(monkeypatch, ci, outcome):
    monkeypatch.setattr("browser.CHROMIUM", None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="chromium"):
        require_browser()
