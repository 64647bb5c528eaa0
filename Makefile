# The commands of gradjax; `make` lists them. They need make and Python 3.11 or newer.

SHELL = /bin/sh
PYTHON ?= python3
ARGS ?=
EXTRA ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# One virtual environment per Python version.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(shell \
  $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
RUN := $(VENV)/bin/python

# Empty if the environment must be made (again): it is absent or incomplete, its Python has
# been removed, or it was made at another path, which its scripts and its link to gradjax
# still contain.
HEALTHY := $(shell $(RUN) -c 'import pip' 2>/dev/null && \
  grep -sF '$(CURDIR)/$(VENV)' $(VENV)/pyvenv.cfg)

# Further extras of pyproject.toml, as in EXTRA=cuda or EXTRA=cuda,stream. Each has a
# stamp file of its own, so it is installed once.
COMMA := ,
EXTRA_NAMES := $(subst $(COMMA), ,$(EXTRA))
EXTRA_STAMPS := $(addprefix $(VENV)/.installed-,$(EXTRA_NAMES))
ifneq ($(EXTRA_NAMES),)
KNOWN_EXTRAS := $(shell sed -n \
  '/^\[project.optional-dependencies\]/,/^\[tool/s/^\([a-z0-9-]*\) = \[.*/\1/p' pyproject.toml)
ifneq ($(filter-out $(KNOWN_EXTRAS),$(EXTRA_NAMES)),)
$(error EXTRA=$(EXTRA): expected one or more of $(KNOWN_EXTRAS))
endif
endif

# Refuses a Python that cannot make the environment, with one line.
define CHECK_PYTHON
version=`$(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null`; \
case "$$version" in \
  3.1[1-9]|3.[2-9][0-9]) ;; \
  '') echo 'gradjax needs Python 3.11 or newer, and $(PYTHON) does not run:' \
    'name another, as in make mnist PYTHON=python3.12' >&2; exit 1 ;; \
  *) echo "gradjax needs Python 3.11 or newer, and $(PYTHON) is $$version:" \
    'name another, as in make mnist PYTHON=python3.12' >&2; exit 1 ;; \
esac; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "$(PYTHON) cannot make environments, its venv module is missing:" \
    "on Debian or Ubuntu, apt install python$$version-venv" >&2; exit 1; }
endef

.NOTPARALLEL:
.PHONY: help install mnist test test-all lint data benchmark clean FORCE

help: ## List these commands
	@echo 'usage: make COMMAND [ARGS="--flag=value ..."] [PYTHON=python3.13] [EXTRA=cuda]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' Makefile | awk -F'|' '{printf "%-13s%s\n", $$1, $$2}'
	@echo
	@echo 'The environment is .venv; with PYTHON=python3.13 it is .venv-3.13, beside it.'
	@echo 'EXTRA=cuda installs for NVIDIA GPUs, EXTRA=tpu for TPUs, both once; other extras'
	@echo 'of pyproject.toml are installed in the same way, several with commas.'

install: $(VENV)/.installed-core $(EXTRA_STAMPS) ## Make .venv and install gradjax into it, editable
	@echo 'gradjax is installed in $(VENV): $(RUN) -m experiments.mnist'

mnist: $(VENV)/.installed-core $(EXTRA_STAMPS) ## Train on MNIST; ARGS='--help' lists its flags
	@$(RUN) -m experiments.mnist $(ARGS)

# A test of more than about a second is slow; one of each kind stays quick.
test: $(VENV)/.installed-test $(EXTRA_STAMPS) ## Run the quick tests; ARGS go to pytest
	@$(RUN) -m pytest -n auto --dist loadfile -m 'not slow' $(ARGS)

test-all: $(VENV)/.installed-test $(EXTRA_STAMPS) ## Run all tests; ARGS go to pytest
	@$(RUN) -m pytest -n auto --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev ## Run ruff and pyright, each even if another fails
	@failed=; \
	$(RUN) -m ruff check || failed=yes; \
	$(RUN) -m ruff format --check || failed=yes; \
	$(RUN) -m pyright --pythonpath $(RUN) || failed=yes; \
	test -z "$$failed"

# TensorFlow is needed only to convert the data. Its temporary environment of 2 GB is
# removed at the end, also after a failure.
data: ## Download and prepare MNIST, once; needs 3 GB of temporary space
	@folder="$${TFDS_DATA_DIR:-$$HOME/tensorflow_datasets}/mnist"; \
	if ls "$$folder"/*/dataset_info.json >/dev/null 2>&1; then \
	  echo "mnist is already prepared in $$folder"; exit 0; \
	fi; \
	$(CHECK_PYTHON); \
	scratch=`mktemp -d` || exit 1; \
	trap 'rm -rf "$$scratch"' EXIT; trap 'exit 130' HUP INT TERM; \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip install -c constraints.txt -e '.[prepare]' && \
	TF_CPP_MIN_LOG_LEVEL=3 "$$scratch/bin/python" -m scripts.prepare_data mnist

benchmark: $(VENV)/.installed-benchmark $(EXTRA_STAMPS) ## Time one run against Keras and PyTorch
	@$(RUN) -m scripts.benchmark single $(ARGS)

clean: ## Remove the environments and the caches of tools, but no results
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file is written after pip has succeeded. So an interrupted installation is done
# again, and a finished one does not start pip. Every set of extras includes the core.
$(VENV)/.installed-%: pyproject.toml constraints.txt $(VENV)/pyvenv.cfg
	$(RUN) -m pip install -c constraints.txt -e '.$(if $(filter-out core,$*),[$*])'
	@touch $@ $(VENV)/.installed-core

$(VENV)/pyvenv.cfg: $(if $(HEALTHY),,FORCE)
	@$(CHECK_PYTHON)
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
