# Needs Python 3.11, make and a package index; everything else is installed into .venv.
PYTHON ?= python3.11
VENV := .venv
NIGHTLY := .venv-nightly
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Python compiles what is imported when it is; pip would compile all of TensorFlow, JAX and PyTorch.
export PIP_NO_COMPILE := 1
EXTRAS_DEMO := tensorflow,data,plots
EXTRAS_DOCS := tensorflow,data,plots,tuner,docs,tests
EXTRAS := tensorflow jax torch data plots tuner
EXTRAS_TEST := tensorflow,jax,torch,data,plots,tuner,tests
# What runs one training after another, or reads data sets: on TensorFlow alone.
CORE := $(addprefix tests/,backend maths decorrelators context layers training rules conversion metrics callbacks analysis test_contract.py test_contributing.py test_published_errors.py test_import.py)
NOT_CORE := $(addprefix --ignore tests/,cli datasets tuning plots)
MARKED := not slow and not tutorial and not combination

.PHONY: demo test lint test-tensorflow test-jax test-torch test-nightly test-combinations test-slow tutorials docs dist benchmark clean

demo: $(VENV)/demo
	$(BIN)/keras-decorr compare --net conv --epochs 4 --seeds 3 --out results/demo

test: lint test-tensorflow test-jax test-torch

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Most of the time of what is compiled with XLA is XLA's, for what runs once: with less optimization, and
# the emitters that are quick to compile, it takes a quarter.
test-tensorflow test-jax: export XLA_FLAGS := --xla_backend_optimization_level=0 \
	--xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1

test-tensorflow: $(VENV)/test
	KERAS_BACKEND=tensorflow $(BIN)/pytest -n 2 -m "$(MARKED)"

# Without TensorFlow's tapes and tf.distribute, which skip themselves. XLA compiles each function once for
# all processes.
test-jax: export KERAS_BACKEND := jax
test-jax: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/build/jax-cache
test-jax: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
test-jax: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1
test-jax: $(VENV)/test
	rm -rf build/jax-cache
	$(BIN)/pytest -n 2 -m "$(MARKED)" $(NOT_CORE)

test-torch: $(VENV)/test
	KERAS_BACKEND=torch $(BIN)/pytest -n 2 -m "$(MARKED)" $(CORE)

# The tests of `make test` with the newest nightly build of Keras, in an environment of its own. What fails
# here and not in `make test` is about the next Keras: keras_decorr/backend/keras_internals.py has the
# private names, and the bounds on its version are in setup.cfg and keras_decorr/backend/versions.py.
# The packages `keras` and `keras-nightly` share a folder, so both go before the nightly build is installed.
test-nightly:
	$(MAKE) VENV=$(NIGHTLY) $(NIGHTLY)/test
	$(NIGHTLY)/bin/pip uninstall --quiet --yes keras keras-nightly
	$(NIGHTLY)/bin/pip install --quiet --pre keras-nightly
	$(NIGHTLY)/bin/python -c "import keras; print(keras.__version__)"
	$(MAKE) VENV=$(NIGHTLY) test-tensorflow test-jax test-torch

# The same tests for more rules, structures, estimators and tuners, on the three backends.
test-combinations: MARKED := combination
test-combinations: test-tensorflow test-jax test-torch

# Trains on real images for minutes.
test-slow: $(VENV)/test
	$(BIN)/pytest -m slow

# Executes them from start to end; the notebooks with all outputs are in build/tutorials.
tutorials: $(VENV)/docs
	KERAS_BACKEND=tensorflow $(BIN)/pytest -m tutorial --durations=0

# The site in build/docs, with the tutorials' outputs, which it runs.
docs: $(VENV)/docs
	KERAS_BACKEND=tensorflow $(BIN)/sphinx-build -c docs . build/docs

# A wheel and an sdist in dist/, tried with each extra in a virtual environment of its own.
dist: $(BIN)/python
	rm -rf dist build/dist
	$(BIN)/pip install --quiet build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m zipfile --list dist/*.whl
	for extra in $(EXTRAS); do \
		case $$extra in data|plots|tuner) backend=tensorflow;; *) backend=$$extra;; esac; \
		$(PYTHON) -m venv build/dist/$$extra && \
		build/dist/$$extra/bin/pip install --quiet "$$(echo dist/*.whl)[$$extra,$$backend]" && \
		KERAS_BACKEND=$$backend build/dist/$$extra/bin/python -P tests/smoke.py $$extra || exit 1; \
		rm -rf build/dist/$$extra; \
	done

benchmark: $(VENV)/test
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/step_time.py
	KERAS_BACKEND=jax $(BIN)/python benchmarks/step_time.py

clean:
	rm -rf $(VENV) $(NIGHTLY) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(BIN)/python setup.cfg
	$(BIN)/pip install --quiet -e ".[$(EXTRAS_DEMO)]"
	touch $@

$(VENV)/test: $(BIN)/python setup.cfg
	$(BIN)/pip install --quiet -e ".[$(EXTRAS_TEST)]"
	touch $@

$(VENV)/docs: $(BIN)/python setup.cfg
	$(BIN)/pip install --quiet -e ".[$(EXTRAS_DOCS)]"
	touch $@
