PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores, since tests of the app wait as often as they compute; four at most, for memory.
WORKERS := $(shell n=$$(( $$(nproc 2>/dev/null || echo 2) + 1 )); echo $$(( n < 4 ? n : 4 )))

.PHONY: demo app test lint pytest gallery trust bench clean

# Trains on a shipped still (6 minutes) and a shipped clip (5 minutes), and leaves samples in demo/.
demo: $(VENV)/.demo
	rm -rf demo
	$(BIN)/texsyn fit videos/beans.png --minutes 6 --out demo/beans
	$(BIN)/texsyn fit videos/water.mp4 --minutes 5 --out demo/water
	$(BIN)/texsyn sample demo/beans --count 3 -o demo/samples
	$(BIN)/texsyn sample demo/beans --size 672x448 -o demo/samples/large.png
	$(BIN)/texsyn sample demo/water -o demo/samples/water.mp4 --frames 128
	$(BIN)/texsyn sample demo/water -o demo/samples/water.gif --frames 64
	@echo; echo "Samples and previews:"; ls demo/samples/* demo/*/previews/*.png

# Starts the browser app at http://127.0.0.1:7860.
app: $(VENV)/.app
	$(BIN)/python ui/app.py

# Runs linters, type checks and tests; with --jobs 2 the first two beside the tests.
test: lint pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Trains on every shipped exemplar (hours; it can be stopped, and goes on) and makes a page of them in build/gallery/.
gallery: $(VENV)/.gallery
	$(BIN)/python videos/render_gallery.py build/gallery

# Repeats the safety trials many times and writes tests/benchmarks/TRUST.md (an hour).
trust: $(VENV)/.test
	$(BIN)/python tests/trust.py

# Rewrites tests/benchmarks/SPEED.md, except for the time to quality, which needs an exemplar of yours.
bench: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/speed.py

clean:
	rm -rf $(VENV) demo build dist *.egg-info

# Installs the package with the extras that a target needs.
$(VENV)/.demo: EXTRAS := quality
$(VENV)/.app: EXTRAS := ui,quality
$(VENV)/.gallery: EXTRAS := gallery
$(VENV)/.bench: EXTRAS := benchmark
$(VENV)/.test: EXTRAS := dev

$(VENV)/.%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip  # the one that comes with Python takes two thirds longer
	$(BIN)/python -m pip install -qq --editable .[$(EXTRAS)]
	touch $@
