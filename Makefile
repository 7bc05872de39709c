PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test quick lint format benchmark clean

# Trains Z-Forcing and an RNN on the bundled digits; pictures, table and runs in runs/demo/.
demo: $(VENV)/demo
	$(BIN)/python -m zoo.demo

# The linter, and the whole suite on both backends.
test: lint
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -n 2 --dist worksteal
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist worksteal -m "not one_backend"

# For everyday work, in a minute and a half: TensorFlow, without kills, learning, searches, exports and presets.
quick: lint
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Z-Forcing of three sizes on both backends. The readme has shorter runs, and other models.
benchmark: $(VENV)/dev
	mkdir -p runs
	$(BIN)/python -m benchmarks --models ZForcing --backends tensorflow jax --output runs/benchmarks.json

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[tensorflow,plot]"
	touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[tensorflow,jax,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist runs *.egg-info
