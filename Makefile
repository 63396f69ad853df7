# Thin wrappers over the commands in README.md. Each sets up what it needs; a second call starts at once.
PYTHON ?= python3
BIN := .venv/bin
LOCKED := --only-binary :all: -c constraints.txt

# The versions with which CI last passed, or where these are not to be had what pip chooses.
install = $(BIN)/pip install -q $(LOCKED) $(1) || { \
	echo "The versions in constraints.txt do not install here: installing those that pip chooses."; \
	$(BIN)/pip install -q $(1); }

.PHONY: app test cluster-test docs

app: .venv/app
	$(BIN)/streamlit run app.py

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadgroup

cluster-test: .venv/ray
	$(BIN)/pytest -m cluster tests/lab/sweep

docs: .venv/dev
	$(BIN)/python -m docs.build

.venv/app: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(call install,-r requirements.txt)
	touch $@

.venv/ray: .venv/dev requirements-ray.txt
	$(call install,-r requirements-ray.txt) || { \
		echo "Ray does not install here: sweeps do without it, but its test cannot be run."; exit 1; }
	touch $@

.venv/dev: .venv/app requirements-dev.txt
	$(call install,-r requirements-dev.txt)
	-$(call install,--no-deps adv-lib)  # published rivals to check ours against; tests do without
	touch $@
