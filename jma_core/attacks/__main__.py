"""Write the catalogue, and print the page of the docs: python -m jma_core.attacks > docs/ATTACKS.md"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from jma_core import attacks
from jma_core.attacks.registry import CATALOGUE, Entry, Group, Setting, as_catalogue


def declared() -> list[Entry]:
    """The entries of all attacks of this package, as their files declare them."""
    modules = [import_module(f"{attacks.__name__}.{each.name}") for each in iter_modules(attacks.__path__)]
    found = [each.entry for module in modules for each in vars(module).values() if hasattr(each, "entry")]
    return list({entry.name: entry for entry in found}.values())


def page(entries: list[Entry]) -> str:
    """The attacks in Markdown, group by group."""
    lines = [
        "# Attacks",
        "",
        "Written by `python -m jma_core.attacks > docs/ATTACKS.md` from the attacks' own declarations.",
        "Each is called as `NAME(f, x, encoding, target, **settings)`; all of them take the fields of `Task` as well.",
        "",
    ]
    for group in sorted({entry.group for entry in entries}, key=list(Group).index):
        lines += [f"## {group}", ""]
        for entry in entries:
            if entry.group is group:
                lines += _entry(entry)
    return "\n".join(lines)


def _entry(entry: Entry) -> list[str]:
    called = f"`{entry.function}`" + (f", in addresses `{entry.name}`" if entry.name != entry.function else "")
    waves = " It can be held to long waves (`period`)." if entry.waves else ""
    needs = f" It must be given {', '.join(f'`{need}`' for need in entry.needs)}." if entry.needs else ""
    return [
        f"### {entry.title}",
        "",
        f"{called}. {entry.source}; {entry.norm}; {', '.join(entry.encodings)}. {entry.summary}{needs}{waves}",
        "",
        "| setting | | default | allowed | |",
        "| --- | --- | --- | --- | --- |",
        *(_setting(each) for each in entry.settings),
        "",
    ]


def _setting(setting: Setting) -> str:
    notes = [setting.help, f"Published: {setting.paper}." if setting.paper else ""]
    cells = [f"`{setting.name}`", setting.label, str(setting.default), setting.range, " ".join(filter(None, notes))]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the one, print the other."""
    CATALOGUE.write_text(as_catalogue(declared()), "utf-8")
    print(page(declared()), end="")


if __name__ == "__main__":
    main()
