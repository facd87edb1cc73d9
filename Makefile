# Two commands do everything, the environment included: `make demo` and `make test`.

PYTHON ?= python3
BIN = .venv/bin
TEST = $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.PHONY: install demo test lint docs notebooks bench clean

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt --editable .
	touch $@

# Trains on scikit-learn's digits, which need no download, and writes reports/demo/.
demo: install
	$(BIN)/cnn-cifar10 train --dataset digits --epochs 12 --augment crop --overwrite \
		--output models/demo --report reports/demo --results reports/demo/results.csv

# Every test, then every notebook in small mode: in two processes, of one thread each.
# `make test COVERAGE=--cov` also measures coverage, which takes a fifth longer.
test: export TF_NUM_INTRAOP_THREADS = 1
test: export TF_NUM_INTEROP_THREADS = 1
test: install
	$(TEST) $(COVERAGE)
	CNN_CIFAR10_SMALL=1 $(TEST) --dist loadfile --nbval-lax --nbval-cell-timeout=300 notebooks

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation, in site/: a link or an anchor that leads nowhere is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Runs the notebooks in full and keeps their outputs: a quarter of an hour on two cores.
notebooks: install
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/*.ipynb

bench: install
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv build *.egg-info
