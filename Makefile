# Each target makes its own virtual environment in .venv and installs what it needs there.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= runs/demo
DEMO_ITERATIONS ?= 300

.PHONY: demo test test-peers lint clean

demo: .venv/with-plot  ## meta-train NoRML on the point agent, adapt it to rotations it has not seen, draw them
	$(BIN)/minorml train --preset point/norml --seed 0 --iterations $(DEMO_ITERATIONS) --out $(DEMO) --overwrite
	$(BIN)/minorml evaluate $(DEMO)
	$(BIN)/minorml plot $(DEMO)

test: .venv/with-test,plot,cluster  ## the whole suite
	$(BIN)/python -m pytest

test-peers: .venv/with-test,peers  ## the derivatives against JAX
	$(BIN)/python -m pytest tests/test_jax_oracle.py

lint: .venv/with-dev
	$(BIN)/ruff check

.venv/with-%: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch "$@"

clean:
	rm -rf .venv build *.egg-info .pytest_cache .hypothesis
