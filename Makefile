# Thin wrappers over the commands in README.md. Each sets up what it needs; a second call starts at once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: app test

app: .venv/app
	$(BIN)/streamlit run app.py

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

.venv/app: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r requirements.txt
	touch $@

.venv/dev: .venv/app requirements-dev.txt
	$(BIN)/pip install -q -r requirements-dev.txt
	-$(BIN)/pip install -q --no-deps adv-lib  # published rivals to check ours against; tests do without
	touch $@
