"""Every template renders without trust, from a folder and from git, and asks for no secret."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from .rendering import ROOT, TEMPLATES, export, files_of, python, render, run

FASTAPI_FILES = [
    *(".copier-answers.yml", ".env.example", ".gitignore", "AGENTS.md", "README.md", "pyproject.toml", "ruff.toml"),
    *("app.py", "auth.py", "origin.py", "settings.py", "tests/conftest.py", "tests/test_app.py"),
    *("static/chat.html", "static/sign-in.html", "static/style.css", "static/icon.svg", "static/chat.js"),
    *("static/gateway.js", "static/markdown.js", "static/sign-in.js", "static/sse.js", "static/words.js"),
]


def git(*arguments: str, cwd: Path) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.test", "-c", "commit.gpgsign=false"]
    code, output = run("git", *identity, *arguments, cwd=cwd)
    assert code == 0, output


def commit(repository: Path, tag: str | None = None) -> None:
    git("add", "--all", cwd=repository)
    git("commit", "--quiet", "--message", "As it is", cwd=repository)
    if tag:
        git("tag", tag, cwd=repository)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates as a git repository that holds what this one's .gitignore lets it hold."""
    folder = export(tmp_path_factory.mktemp("repository"))
    shutil.copy(ROOT / ".gitignore", folder)
    git("init", "--quiet", cwd=folder)
    commit(folder, "v1.2.3")
    return folder


def test_the_fastapi_template_renders_these_files_and_no_others(fastapi_app: Path) -> None:
    assert files_of(fastapi_app) == sorted(FASTAPI_FILES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_of_the_template_language_is_left(source: Path, tmp_path: Path, template: str) -> None:
    app = render(source, tmp_path / "app", template=template)
    for name in files_of(app):
        text = (app / name).read_text(encoding="utf-8")
        assert "<%" not in text, name
        assert "%>" not in text, name


def test_the_answers_are_kept_and_hold_no_secret(source: Path, tmp_path: Path) -> None:
    app = render(source, tmp_path / "app", project_name="team-chat", gateway_url="https://gateway.example")
    assert answers_of(app) == {
        "_src_path": str(source),
        "auth": "dev",
        "behest_source": str(source / "packages"),
        "gateway_url": "https://gateway.example",
        "project_name": "team-chat",
        "template": "fastapi",
    }


def test_no_secret_is_asked_or_written(fastapi_app: Path) -> None:
    values = dict(re.findall(r"^(\w+)=(.*)$", (fastapi_app / ".env.example").read_text(), re.MULTILINE))
    assert values == {
        "BEHEST_BASE_URL": "http://localhost:8080",
        "BEHEST_KEY": "",
        "SESSION_SECRET": "",
        "APP_ENV": "development",
        "APP_NAME": "my-chat",
    }


def test_the_documented_command_works_from_git_without_trust(repository: Path, tmp_path: Path) -> None:
    code, output = python("-m", "copier", "copy", "--defaults", str(repository), "my-chat", cwd=tmp_path)
    assert code == 0, output
    assert files_of(tmp_path / "my-chat") == sorted(FASTAPI_FILES)
    assert answers_of(tmp_path / "my-chat")["_commit"] == "v1.2.3"
    assert "uv run --env-file .env uvicorn app:app --port 8000" in output


def test_an_app_that_was_changed_takes_a_newer_template_in(source: Path, tmp_path: Path) -> None:
    template, app = tmp_path / "template", tmp_path / "app"
    shutil.copytree(source, template)
    git("init", "--quiet", cwd=template)
    commit(template, "v1.0.0")
    assert python("-m", "copier", "copy", "--defaults", str(template), str(app), cwd=tmp_path)[0] == 0
    (app / "auth.py").write_text('"""Ours."""\n')
    (app / "origin.py").unlink()
    git("init", "--quiet", cwd=app)
    commit(app)
    with (template / "templates/fastapi/static/style.css").open("a") as style:
        style.write("/* newer */\n")
    commit(template, "v1.1.0")

    code, output = python("-m", "copier", "update", "--defaults", cwd=app)
    assert code == 0, output
    assert answers_of(app)["_commit"] == "v1.1.0"
    assert (app / "static/style.css").read_text().endswith("/* newer */\n")
    assert (app / "auth.py").read_text() == '"""Ours."""\n'
    assert not (app / "origin.py").exists()


def test_an_app_made_from_an_address_takes_the_sdk_from_the_same_commit(repository: Path, tmp_path: Path) -> None:
    address = f"git+{repository.as_uri()}"
    app = render(address, tmp_path / "app")
    code, head = run("git", "rev-parse", "HEAD", cwd=repository)
    assert code == 0
    [sdk] = [name for name in project_of(app)["dependencies"] if name.startswith("behest-ai")]
    assert sdk == f"behest-ai @ {address}@{head.strip()}#subdirectory=packages/client"


@pytest.mark.parametrize("packages", ["/srv/behest/packages", "C:\\Users\\Jane Doe\\behest\\packages"])
def test_nothing_of_ours_is_installed_by_name(source: Path, tmp_path: Path, packages: str) -> None:
    app = render(source, tmp_path / "app", behest_source=packages)
    sources = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["uv"]["sources"]
    assert sources == {
        "behest-ai": {"path": f"{packages}/client", "editable": True},
        "behest-protocol": {"path": f"{packages}/protocol", "editable": True},
    }
    ours = [name for name in project_of(app)["dependencies"] if name.startswith("behest")]
    assert ours == ["behest-ai"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my-chat", "my-chat"), ("My Chat_2", "my-chat-2"), ("2026", "my-behest-app"), ("a--b-", "a-b")],
)
def test_an_app_is_called_after_its_folder(source: Path, tmp_path: Path, folder: str, name: str) -> None:
    assert project_of(render(source, tmp_path / folder))["name"] == name


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("project_name", "My Chat"),
        ("project_name", "chat-"),
        ("project_name", 'x" \nevil = "1'),
        ("project_name", "x" * 65),
        ("gateway_url", "localhost:8080"),
        ("gateway_url", "http://localhost:8080/v1"),
        ("gateway_url", "http://localhost:8080\nBEHEST_KEY=x"),
        ("gateway_url", "http://localhost:8080\n"),
        ("behest_source", ""),
        ("behest_source", "/srv/packages\n"),
        ("template", "../../etc"),
        ("auth", "none"),
    ],
)
def test_an_answer_that_cannot_work_is_refused(source: Path, tmp_path: Path, question: str, answer: str) -> None:
    with pytest.raises(ValueError, match=question):
        render(source, tmp_path / "app", **{question: answer})
    assert not (tmp_path / "app").exists()


def test_the_questionnaire_is_whole_and_asks_nobody_for_trust() -> None:
    # A misspelt !include is passed over in silence, so what was read is counted.
    files = [ROOT / "copier.yml", *sorted((ROOT / "templates/_questions").glob("*.yml"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    names = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert {name for name in names if not name.startswith("_")} == {
        "template", "project_name", "auth", "gateway_url", "behest_source",
    }  # fmt: skip
    assert not names & {"_tasks", "_migrations", "_jinja_extensions"}
    assert set(re.findall(r"^!include (.+)$", text, re.MULTILINE)) == {
        path.relative_to(ROOT).as_posix() for path in files[1:]
    }


def test_the_files_can_be_checked_out_and_read_as_they_are(source: Path) -> None:
    plain = rendered = 0
    for path in (source / "templates").rglob("*"):
        assert not path.is_symlink(), path
        assert not re.search(r'[<>:"|?*\\]', path.name), path
        if path.is_dir():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        if path.suffix == ".jinja":
            rendered += len(lines)
        elif "_questions" not in path.parts and "_shared" not in path.parts:
            assert "<%" not in "\n".join(lines), path
            plain += len(lines)
    assert plain > 9 * rendered


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_markup_is_the_documented_one(source: Path, tmp_path: Path, template: str) -> None:
    app = render(source, tmp_path / "app", template=template)
    pages = "\n".join(path.read_text(encoding="utf-8") for path in app.rglob("*.html"))
    table = (ROOT / "templates/_shared/README.md").read_text(encoding="utf-8").split("| `data-role` |")[1]
    documented = {
        role for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for role in re.findall(r"`([\w-]+)`", row)
    }
    assert documented - set(re.findall(r'data-role="([\w-]+)"', pages)) == set()


def project_of(app: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((app / "pyproject.toml").read_text())["project"]
    return project


def answers_of(app: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+): (.*)$", (app / ".copier-answers.yml").read_text(), re.MULTILINE))
