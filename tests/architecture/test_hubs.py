"""No module is both everybody's supplier and everybody's customer."""

from __future__ import annotations

from pathlib import Path

from .modules import Hub, hubs, modules_in

LIMIT = 15
"""The best-kept Python code bases have 2 to 16; one that nobody can change any more has 244."""


def test_no_module_is_a_hub() -> None:
    assert [hub for hub in hubs() if hub.size > LIMIT] == []


def test_a_hub_is_counted_with_imports_inside_functions_and_relative_ones(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "",
        "shop/till.py": "from . import stock\nfrom .deep.cellar import wine\n",
        "shop/stock.py": "def find():\n    import shop.deep.cellar\n    from shop import till\n    import json\n",
        "shop/deep/__init__.py": "from .. import till",
        "shop/deep/cellar.py": "wine = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert hubs(modules_in(tmp_path)) == [
        Hub(name="shop.till", importers=2, imports=2),
        Hub(name="shop.stock", importers=1, imports=2),
        Hub(name="shop", importers=0, imports=0),
        Hub(name="shop.deep", importers=0, imports=1),
        Hub(name="shop.deep.cellar", importers=2, imports=0),
    ]
