"""What is written of `behest-auth` is what it does: reasons, codes, extras, and the length of its first example."""

from __future__ import annotations

import ast
import re
import tomllib

import behest_auth
from behest_auth import REASONS, AuthError

from .blocks import ROOT, blocks_of, read, table_rows, tracked

GUIDE = "docs/guides/auth/README.md"
README = "packages/auth/README.md"
SOURCE = "packages/auth/src/behest_auth/"


def test_every_reason_is_in_the_guide_and_is_given_somewhere() -> None:
    code = "".join(read(name) for name in tracked() if name.startswith(SOURCE) and name.endswith(".py"))

    assert [row[0].strip("`") for row in table_rows(GUIDE, "Reason")] == list(REASONS) == sorted(REASONS)
    # Each stands once in the list of reasons; what stands nowhere else is never said.
    assert [reason for reason in REASONS if code.count(f'"{reason}"') < 2] == []


def test_every_code_of_the_guide_is_an_errors_and_the_other_way_round() -> None:
    listed = {(int(row[0]), row[1].strip("`")) for row in table_rows(GUIDE, "Status")}
    kinds = [kind for kind in vars(behest_auth).values() if isinstance(kind, type) and issubclass(kind, AuthError)]
    problems = [kind("malformed") for kind in kinds if kind is not AuthError]
    problems += [behest_auth.MintError("rate_limited"), behest_auth.MintError("mint_refused")]

    assert listed == {(problem.status, problem.code) for problem in problems}


def test_the_first_example_of_the_readme_has_twelve_lines_at_most() -> None:
    example = next(block for block in blocks_of(README) if block.marker == "auth app")

    assert len(example.text.splitlines()) <= 12


def test_every_extra_that_is_named_is_declared() -> None:
    project = tomllib.loads(read("packages/auth/pyproject.toml"))["project"]
    code = "".join(read(name) for name in tracked() if name.startswith(SOURCE) and name.endswith(".py"))
    named = set(re.findall(r'\bneeds\("(\w+)"\)', code))

    assert named == {"fastapi", "flask", "starlette"}
    assert named <= set(project["optional-dependencies"])
    providers = {
        name.removeprefix(f"{SOURCE}providers/")[:-3] for name in tracked() if name.startswith(f"{SOURCE}providers/")
    }
    assert providers - {"__init__", "signed", "dev"} <= set(project["optional-dependencies"])


def test_every_argument_that_widens_is_off_by_default_and_in_the_guides() -> None:
    guides = "".join(read(name) for name in tracked() if name.startswith("docs/guides/auth/"))
    for path in sorted((ROOT / SOURCE / "providers").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                flags = {
                    argument.arg: default
                    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                    if argument.annotation is not None and ast.unparse(argument.annotation) == "bool"
                }
                for name, default in flags.items():
                    assert isinstance(default, ast.Constant)
                    assert default.value is False, name
                    assert f"`{name}=True`" in guides, name
