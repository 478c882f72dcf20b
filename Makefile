# Every command sets up .venv beside the code first; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast crash fuzz mutation check bench tamper compiled test-compiled
# The whole ledger on a real trading session; leaves build/demo/report.json.
demo: .venv/installed
	@$(BIN)/python -m examples.demo

# What a server of another version could do otherwise: SQL, triggers, rights, appends, and what the verifier reads. Faults
# injected at commits and rows edited one column at a time are the same on each.
OF_THE_SERVER := tests/storage tests/journal --deselect tests/journal/test_commit_faults.py \
	tests/verifier/test_verifier.py tests/verifier/test_intrusions.py tests/invariants/test_walls.py

# One more than the two cores that this was measured on: tests wait for servers a third of their time.
WORKERS ?= 3
test: .venv/installed
	$(BIN)/pytest -n $(WORKERS)
	@command -v hledger >/dev/null || \
	  echo "LEFT OUT: the exported journals in hledger, which is not installed here (Debian: apt install hledger)"
	@test -x build/programs/fsck -a -x build/programs/litewitness || \
	  echo "LEFT OUT: archives in Tessera's fsck and checkpoints at litewitness, which are not built here (with Go: .ci/programs)"
	@if $(BIN)/python -c 'from ledger.sandbox.postgres import installed_binaries as i; raise SystemExit(not i(15))'; then \
	  LEDGER_TEST_PG=15 $(BIN)/pytest -n $(WORKERS) $(OF_THE_SERVER); \
	else echo "LEFT OUT: the tests against PostgreSQL 15, which is not installed here (Debian: apt install postgresql-15)"; fi

# The pure tests alone: no server is started, and one that would need it is refused.
test-fast: .venv/installed
	LEDGER_TEST_SERVERS=none $(BIN)/pytest tests/chain tests/evidence tests/domain tests/model tests/spill \
	  tests/importing/test_translation.py tests/exporting/test_names.py tests/replicator/test_segment.py \
	  tests/replicator/test_segment_bytes.py tests/benchmarks/test_report.py tests/verifier/forms \
	  $(addprefix tests/verifier/test_,acknowledgements.py chain_checks.py commits.py conviction.py held.py in_turn.py \
	  key_rows.py meaning.py report.py revocations.py sealed_rows.py signed.py spans.py)

# Kill -9 each part fifty times, on a seed that is printed.
crash: .venv/installed
	LEDGER_TEST_KILLS=50 $(BIN)/pytest -s tests/chaos

# Feed the parsers changed inputs for LEDGER_FUZZ_SECONDS of the processor, on a seed that is printed (LEDGER_FUZZ_SEED).
fuzz: .venv/installed
	$(BIN)/python -m tests.fuzz

# Mutate what was not mutated yet, MINUTES a group; GROUPS names some. Keeps docs/mutation, and writes docs/MUTATION.md.
MINUTES ?= 10
mutation: .venv/installed
	$(BIN)/python -m tests.mutation $(GROUPS) --minutes $(MINUTES)

# Taste, types, import contracts, dependencies, and that the migrations make what the code describes.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python .ci/check_migrations.py
	@$(BIN)/tradeledger event-types --format markdown | diff docs/EVENTS.md - || \
	  { echo "docs/EVENTS.md is not what the program says; write it anew: tradeledger event-types --format markdown"; exit 1; }

# The same program with its inner modules compiled, as a wheel has them (docs/decisions/0033): in a copy under
# build/compiled, where nothing shadows the modules here. What was made names what it is of, since a file that is gone
# changes no time but its folder's, and so does the first import's __pycache__.
SOURCES := $(sort $(shell find ledger migrations replicator verifier -name '*.py' -o -name '*.sql' -o -name '*.json'))
ifneq ($(SOURCES),$(shell cat build/compiled/made 2>/dev/null))
.PHONY: build/compiled/made
endif
compiled: build/compiled/made
build/compiled/made: .venv/installed $(SOURCES)
	@rm -rf build/compiled && mkdir -p build/compiled
	@cp -r ledger migrations replicator verifier pyproject.toml README.md LICENSE build/compiled
	@cd build/compiled && HATCH_BUILD_HOOKS_ENABLE=1 $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d dist >log 2>&1 || \
	  { tail -20 log; echo "The modules could not be compiled; is there a C compiler, and Python's headers? On Debian: apt install gcc python3-dev"; exit 1; }
	@echo $(SOURCES) >$@

# The tests of what is compiled, on it. Those that put something else in the place of a constant or a function are left out:
# a compiled module does not look there again.
BUILT := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR)
OF_THE_COMPILED := tests/chain tests/domain tests/journal tests/model tests/reading \
	$(addprefix tests/verifier/test_,good.py incremental.py chain_walk.py)
test-compiled: build/compiled/made
	$(BUILT) $(BIN)/pytest --import-mode=append -n $(WORKERS) $(OF_THE_COMPILED)

# Each measure beside its floor, taken in the same run; leaves build/bench/report.json, its page and plots. SIZE=full grows
# a chain of ten million events, in forty minutes to an hour and ten; KEEP=yes writes the report into docs/benchmarks too.
# What is measured is compiled, as a wheel is; COMPILED=no measures the modules as they are here.
SIZE ?= small
COMPILED ?= yes
bench: .venv/installed $(if $(filter yes,$(COMPILED)),build/compiled/made)
	@$(if $(filter yes,$(COMPILED)),$(BUILT)) $(BIN)/python -m benchmarks --size $(SIZE) $(if $(filter yes,$(KEEP)),--keep)

# Tamper with copies of a real ledger in every way of tests/tamper/ways, and write docs/TAMPER.md and
# build/tamper/report.json anew; WAYS="word word" goes only those with such a word in their name, and writes no page.
tamper: .venv/installed
	@$(BIN)/python -m tests.tamper $(WAYS)

.venv/installed: requirements.lock pyproject.toml
	@test -w . || { echo "This folder cannot be written: $(CURDIR); copy it to one that can"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is not; name one, such as: make demo PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "The environment .venv could not be made; is there room on the disk? On Debian venv needs: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock || \
	  { echo "The packages of requirements.lock could not be fetched; is there a network and room on the disk?"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
