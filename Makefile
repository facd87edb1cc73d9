# Two commands do everything, the environment included: `make demo` and `make test`.

PYTHON ?= python3
BIN = .venv/bin
# Two processes, of one thread each.
TEST = TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal
NOTEBOOKS = CNN_CIFAR10_SMALL=1 $(TEST) --dist loadfile --nbval-lax --nbval-cell-timeout=300

.PHONY: install demo test test-slow test-all torture audit lint docs notebooks bench clean

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt --editable .
	touch $@

# Trains on scikit-learn's digits, which need no download, and writes reports/demo/.
demo: install
	$(BIN)/cnn-cifar10 train --dataset digits --epochs 12 --augment crop --overwrite \
		--output models/demo --report reports/demo --results reports/demo/results.csv

# Every test but the slow ones, and two notebooks in small mode.
# `make test COVERAGE=--cov` also measures coverage, which takes a fifth longer.
test: install
	$(TEST) -m "not slow" $(COVERAGE)
	$(NOTEBOOKS) notebooks/01_data.ipynb notebooks/05_custom_cnn.ipynb

# The rest: tests marked slow, and every notebook in small mode.
test-slow: install
	$(TEST) -m slow $(COVERAGE)
	$(NOTEBOOKS) notebooks

test-all:
	$(MAKE) test
	$(MAKE) test-slow

# Kills, full disks, hostile files and clients: writes reports/reliability.md, in two hours or more.
torture: install
	$(BIN)/python benchmarks/reliability

# Known holes in the packages of the environment; passed over where the index does not answer.
audit: install
	$(BIN)/python benchmarks/reliability audit --reports build

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation, in site/: a link or an anchor that leads nowhere is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Runs the notebooks in full and keeps their outputs: about an hour on two cores.
notebooks: install
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --coalesce-streams \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/python .ci/seal_notebooks.py

bench: install
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv build *.egg-info
