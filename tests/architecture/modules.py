"""Who imports whom among our own modules, read from their text: imports inside functions count like any other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module: its dotted name and its file."""

    name: str
    path: Path

    @property
    def package(self) -> str:
        """What a relative import starts from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def tree(self) -> ast.Module:
        """Its text, parsed."""
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """How much a module is both everybody's supplier and everybody's customer.

    Attributes:
        importers: Modules that import it.
        imports: Modules that it imports.
    """

    name: str
    importers: int
    imports: int

    @property
    def size(self) -> int:
        """The smaller of the two."""
        return min(self.importers, self.imports)


def modules_in(*sources: Path) -> dict[str, Module]:
    """Every module below some source folders, by name."""
    found: dict[str, Module] = {}
    for source in sources:
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name=name, path=path)
    return found


@cache
def ours() -> dict[str, Module]:
    """Every module of every package."""
    return modules_in(*sorted(ROOT.glob("packages/*/src")))


def _targets(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.package.split(".")
                above = above[: len(above) - (node.level - 1)]
                base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(module: Module, known: dict[str, Module]) -> set[str]:
    """The modules among `known` that a module imports, at its top or inside of a function."""
    found: set[str] = set()
    for target in _targets(module):
        name = target
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name and name != module.name:
            found.add(name)
    return found


def hubs(known: dict[str, Module] | None = None) -> list[Hub]:
    """Every module as a hub, the largest first."""
    known = ours() if known is None else known
    imports = {name: imports_of(module, known) for name, module in known.items()}
    importers: defaultdict[str, set[str]] = defaultdict(set)
    for name, targets in imports.items():
        for target in targets:
            importers[target].add(name)
    found = [Hub(name=name, importers=len(importers[name]), imports=len(imports[name])) for name in known]
    return sorted(found, key=lambda hub: (-hub.size, hub.name))
