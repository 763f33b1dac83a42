# Each target makes its own virtual environment in .venv and installs what it needs there.
PYTHON ?= python3
BIN := .venv/bin
SHELL := bash
DEMO ?= runs/demo
DEMO_ITERATIONS ?= 300

# A page of results: the runs, and results/ENVIRONMENT from them. What was stopped goes on where it was.
#   make results                                                                             # the point agent, Figure 2a
#   make results ENVIRONMENT=point-sparse
#   make results ENVIRONMENT=point-goal SEEDS=0-4                                            # the control
#   make results ENVIRONMENT=cartpole SEEDS=0-4
#   make results ENVIRONMENT=cartpole-motor SEEDS=0-4                                        # ours, as cartpole-positions
#   make results ENVIRONMENT=cheetah SEEDS=0-2                                               # … and cheetah-reverse
#   make map                                                                                 # from the pages of them all
#   make published                                                                           # the published hyper-parameters
#   make published PUBLISHED=cheetah:0                                                       # hours; stop it where you like
# ALONE are the tasks that a policy is trained on alone: the ceiling of what adaptation can reach.
# LONGER are the iterations in which domain randomization samples as many trajectories as the others do in theirs.
# MAP are the pages that have such runs.
ENVIRONMENT ?= point
SEEDS ?= 0-9
ALONE_point := rotation=choice:0 rotation=choice:1.57
ALONE_point-sparse := $(ALONE_point)
ALONE_cartpole := angle_bias=choice:-0.13 angle_bias=choice:0 angle_bias=choice:0.13
ALONE_cartpole-positions := $(ALONE_cartpole)
ALONE_cartpole-motor := reversed=choice:0 reversed=choice:1
ALONE_cartpole-motor-pole := $(ALONE_cartpole-motor)
ALONE_cheetah := swapped=choice:0 swapped=choice:1
ALONE_cheetah-reverse := reversed=choice:0 reversed=choice:1
ALONE ?= $(ALONE_$(ENVIRONMENT))
LONGER_cheetah := 500
LONGER_cheetah-reverse := 200
LONGER ?= $(LONGER_$(ENVIRONMENT))
MAP ?= $(addprefix results/,point point-sparse cartpole cartpole-positions cartpole-motor cartpole-motor-pole cheetah cheetah-reverse)
PUBLISHED ?= point:0-4 point-sparse:0-2 cartpole:0-4 cartpole-positions:0-4
WORKERS ?= 2
SWEEP = $(BIN)/minorml sweep --workers $(WORKERS)

.PHONY: demo robot results published map test test-oracle test-no-jit mutation lint docs docs-check clean

demo: .venv/with-plot  ## meta-train NoRML on the point agent, adapt it to rotations it has not seen, draw them
	$(BIN)/minorml train --preset point/norml --seed 0 --iterations $(DEMO_ITERATIONS) --out $(DEMO) --overwrite
	$(BIN)/minorml evaluate $(DEMO)
	$(BIN)/minorml plot $(DEMO)

robot: .venv/with-plot  ## adapt robots from their logs: processes of their own, which know nothing of minorml
	$(BIN)/python docs/examples/robot/run.py

results: .venv/with-plot  ## see above
	$(SWEEP) --presets $(ENVIRONMENT) --seeds $(SEEDS) --out runs/$(ENVIRONMENT) || test $$? -eq 1  # a run that failed is on the page
	for task in $(ALONE); do \
	  $(SWEEP) --presets $(ENVIRONMENT)/dr --set vary=$$task --seeds $(SEEDS) --out runs/$(ENVIRONMENT)-alone/$$task || test $$? -eq 1 || exit; done
	for n in $(LONGER); do \
	  $(SWEEP) --presets $(ENVIRONMENT)/dr --set iterations=$$n --seeds $(SEEDS) --out runs/$(ENVIRONMENT)-longer || test $$? -eq 1 || exit; done
	$(BIN)/minorml report runs/$(ENVIRONMENT) $(ALONE:%=runs/$(ENVIRONMENT)-alone/%) $(LONGER:%=runs/$(ENVIRONMENT)-longer) --out results/$(ENVIRONMENT) --curves results/paper.csv

published: .venv/with-plot  ## SYSTEM:SEEDS, and results/published from all there are
	for one in $(PUBLISHED); do \
	  $(SWEEP) --presets $${one%:*}-published --seeds $${one#*:} --out runs/$${one%:*}-published || test $$? -eq 1 || exit; done
	$(BIN)/minorml report runs/*-published --out results/published --curves results/paper.csv

map: .venv/with-plot  ## where adaptation pays, from the pages of results
	$(BIN)/minorml map $(MAP) --out results/map

test: .venv/with-test,plot,cluster,onnx,minari  ## the whole suite
	$(BIN)/python -m pytest

test-oracle: .venv/with-test,plot,oracle  ## the derivatives against JAX; other people's gradients
	$(BIN)/python -m pytest tests/test_jax_oracle.py tests/test_docs_gradcheck.py

mutation: .venv/with-test,mutation  ## a mutation tester over the mathematics, then over the compiled passes; goes on where it was
	$(BIN)/python tests/mutation.py tests/mutation{,-kernels,-activation,-tiles}.toml

test-no-jit: .venv/with-test,plot,cluster  ## without the JIT, what it could change
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m gradients
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "not gradients" tests/test_{kernels,mlp,policy,meta,baseline,rollout,runs}.py

lint: .venv/with-dev
	$(BIN)/ruff check
	$(BIN)/mypy

docs: .venv/with-docs  ## the book: docs/_build/html/index.html
	$(BIN)/sphinx-build -q -W --keep-going -c docs -d docs/_build/doctrees . docs/_build/html
	@echo "docs/_build/html/index.html"

docs-check: docs .venv/with-docs,test  ## every page in headless Chromium
	$(BIN)/python -m pytest -q docs/_book
	$(BIN)/python docs/_book/check.py docs/_build/html

.venv/with-%: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip  # an old one seeks minutes for versions that fit together
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch "$@"

clean:
	rm -rf .venv build docs/_build docs/gallery *.egg-info .pytest_cache .mypy_cache .hypothesis
