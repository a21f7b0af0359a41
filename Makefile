# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PUBLISHED = $(BIN)/python -c 'import autograder.course as c, pathlib; \
  print(*(a.slug for a in c.load_course(pathlib.Path(".")).published), sep="\n")'
export OMP_NUM_THREADS ?= 1

.PHONY: bench bench-security bench-endurance help demo test lint unit suites notebooks audit audit-brief record fresh build install accuracy fuzz clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with make PYTHON=python3.12 ..."; exit 2; }
	@echo "Installing into $(VENV) (a minute or two, about 6 GB with PyTorch) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(INSTALLED)

demo: $(INSTALLED) ## Release, grade a sample class, give back; no network, under two minutes
	@$(BIN)/autograder demo --to demo --assignment 02_knn --jobs 2

test: lint fresh unit suites notebooks audit-brief ## Everything that CI runs
	@echo "All of make test passed."

lint: $(INSTALLED) ## Style, types, and the floors of the house
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

unit: $(INSTALLED) ## The engine's own tests
	@echo "== the engine"
	@$(BIN)/python -m pytest tests/autograder -q -n 2 --durations=5

suites: $(INSTALLED) ## Every hidden and public suite on its solution
	@echo "== suites on solutions"
	@$(BIN)/python -m pytest tests --ignore=tests/autograder -q -p no:nbval

notebooks: $(INSTALLED) ## Releases up to date; solution notebooks execute and give the outputs that are committed (nbval)
	@echo "== notebooks"
	@$(BIN)/autograder build --check
	@$(BIN)/autograder syllabus --check
	@slugs=$$($(PUBLISHED)) && echo "$$slugs" | xargs -P 2 -I SLUG $(MAKE) --no-print-directory notebook-SLUG

notebook-%: $(INSTALLED)
	@work=$$(mktemp -d) && cp solutions/$*/*.ipynb tests/$*/test_public.py $$work/ && \
	  (cd $$work && env -u MPLBACKEND AUTOGRADER_DATA=$$work/none NBGRADER_EXECUTION=nbval \
	    $(CURDIR)/$(BIN)/python -m pytest -q --nbval --nbval-current-env \
	    --nbval-sanitize-with $(CURDIR)/tests/nbval.cfg --nbval-cell-timeout 120 -p no:cacheprovider \
	    --rootdir $$work $$work/*.ipynb > $$work/log 2>&1); status=$$?; \
	  echo "$*: $$(tail -n 1 $$work/log)"; test $$status = 0 || cat $$work/log; rm -rf $$work; exit $$status

audit-brief: $(INSTALLED) ## The audit with one seed; mistakes only where the record of them no longer holds
	@echo "== audit"
	@slugs=$$($(PUBLISHED)) && echo "$$slugs" | xargs -P 2 -I SLUG $(MAKE) --no-print-directory audit-SLUG

# Two assignments at a time, a job each: none waits for the last steps of another, or starts a second grader.
audit-%: $(INSTALLED)
	@log=$$(mktemp) && $(BIN)/autograder audit $* --brief > $$log 2>&1; status=$$?; \
	  cat $$log; rm -f $$log; exit $$status

audit: $(INSTALLED) ## Right answers earn everything, the stub nothing, each mistake loses its own question only
	@$(BIN)/autograder audit --seeds 2 --jobs 2

record: $(INSTALLED) ## The audit with more seeds, kept in docs/audit.json and in the table of the README
	@$(BIN)/autograder audit --seeds 200 --jobs 2 --record
	@$(BIN)/autograder syllabus

fresh: $(INSTALLED) ## No source is newer than the recorded audit
	@echo "== the recorded audit"
	@$(BIN)/autograder audit --check

bench: $(INSTALLED) ## Speed beside nbgrader, otter-grader and the bare tests: docs/benchmarks.md
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@$(BIN)/python benchmarks/compare.py
	@$(BIN)/python benchmarks/scale.py

bench-endurance: $(INSTALLED) ## 5,000 submissions in one run, the gradebook's rate, Dask beside jobs: docs/endurance.md
	@$(BIN)/python benchmarks/endurance.py

accuracy: $(INSTALLED) ## The solutions on real data (AUTOGRADER_DATA), beside the figures they have to beat
	@$(BIN)/autograder accuracy

bench-security: $(INSTALLED) ## Attacks that succeed: here in every sandbox mode, and with nbgrader (half an hour)
	@$(BIN)/python benchmarks/security.py

build: $(INSTALLED) ## Sources to executed notebooks and releases
	@$(BIN)/autograder build
	@$(BIN)/autograder syllabus

fuzz: $(INSTALLED) ## Ten minutes of hostile frames against the grader's end of the wire
	@cd tests/autograder && $(CURDIR)/$(BIN)/python fuzz_wire.py --seconds 600

clean: ## Remove what the commands above made, but .venv
	@rm -rf demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
