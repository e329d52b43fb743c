"""A place for each document that is followed: a folder, a gateway and a fake provider that nobody else changes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from behest_cli.demo import EACH_USER_USD
from behest_cli.dev import Ready, running

from ..templates.rendering import export, render
from .place import Place

PlaceFor = Callable[[str], Place]


@pytest.fixture
def place_for(tmp_path: Path) -> Generator[PlaceFor]:
    """Makes a place: `place_for("docs/quickstart.md")`. A template's document gets an app that is rendered from it."""
    with ExitStack() as open_places:

        def make(document: str) -> Place:
            folder = tmp_path / "clone"
            folder.mkdir()

            def start() -> Ready:
                ready = open_places.enter_context(running(folder / ".behest" / "dev"))
                if document == "README.md":
                    _as_the_demo_does(folder, ready)
                return ready

            place = Place(folder, start)
            if document.startswith("templates/") and document.endswith(".jinja"):
                _render_into(place, document.split("/")[1], tmp_path)
            return place

        yield make


def _as_the_demo_does(folder: Path, ready: Ready) -> None:
    """Keep everything in a folder of the demo's, and give each user the demo's budget."""
    (folder / ".behest" / "demo").symlink_to("dev", target_is_directory=True)
    with httpx.Client(base_url=ready["base_url"], timeout=30) as client:
        client.post(
            f"/v1/projects/{ready['project_id']}/budgets",
            json={"scope": "each_user", "window": "day", "limit_usd": EACH_USER_USD},
            headers={"Authorization": f"Bearer {ready['admin_token']}"},
        ).raise_for_status()


def _render_into(place: Place, template: str, scratch: Path) -> None:
    """Render a template into a place, and do what its reader has done before: fill in `.env`, source `dev.env`."""
    source = scratch / "source"
    source.mkdir()
    app = render(export(source), scratch / "app", template=template, gateway_url=place.ready["base_url"])
    for path in app.iterdir():
        path.rename(place.folder / path.name)
    example = (place.folder / ".env.example").read_text(encoding="utf-8")
    filled = example.replace("\nBEHEST_KEY=\n", f"\nBEHEST_KEY={place.ready['api_key']}\n")
    (place.folder / ".env").write_text(filled, encoding="utf-8")
    place.shell("source .behest/dev/dev.env")
