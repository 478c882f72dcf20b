# Every command sets up .venv beside the code first; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast crash fuzz mutation check bench tamper
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
	LEDGER_TEST_SERVERS=none $(BIN)/pytest tests/chain tests/evidence tests/domain tests/model \
	  tests/importing/test_translation.py tests/exporting/test_names.py tests/replicator/test_segment.py \
	  tests/replicator/test_segment_bytes.py tests/benchmarks/test_report.py tests/verifier/forms \
	  $(addprefix tests/verifier/test_,acknowledgements.py chain_checks.py commits.py conviction.py held.py in_turn.py \
	  key_rows.py meaning.py report.py revocations.py sealed_rows.py signed.py spans.py spill.py)

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

# Each measure beside its floor, taken in the same run; leaves build/bench/report.json, its page and plots. SIZE=full grows
# a chain of ten million events, in an hour and ten minutes; KEEP=yes writes the report into docs/benchmarks as well.
SIZE ?= small
bench: .venv/installed
	@$(BIN)/python -m benchmarks --size $(SIZE) $(if $(filter yes,$(KEEP)),--keep)

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
