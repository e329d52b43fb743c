"""Apps from the repository's templates, by Copier."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from behest_cli.errors import CliError, UsageError


def template_root() -> Path | None:
    """Find the repository that this package runs from: the nearest folder above with a copier.yml."""
    return next((folder for folder in Path(__file__).resolve().parents if (folder / "copier.yml").is_file()), None)


def scaffold(
    dest: Path, *, source: str | None = None, answers: dict[str, Any], ask: bool = False, overwrite: bool = False
) -> int:
    """Render a template into a folder.

    Args:
        dest: The folder; it may not hold anything unless `overwrite`.
        source: A checkout of this repository or a git address; None means the checkout that this package lies in.
        answers: Answers to the template's questions; `template` names the template.
        ask: Whether to ask, on the terminal, what is not answered; otherwise the defaults hold.
        overwrite: Whether files that are there may be replaced.

    Returns:
        How many files the folder holds afterwards.

    Raises:
        CliError: There is no template, the folder is not empty, or an answer is wrong.
    """
    root = source or template_root()
    if root is None:
        raise UsageError(
            "There are no templates beside this installation.",
            hint="Say where they are: --source with the path of a Behest checkout, or its git address.",
        )
    folder = Path(root).expanduser()
    if folder.is_dir() and not (folder / "copier.yml").is_file():
        raise UsageError(f"{root} holds no copier.yml, so it is not a Behest checkout.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())) and not overwrite:
        raise CliError(f"{dest} is not empty.", hint="Choose another folder, or write into it with --force.")

    import copier
    from copier.errors import CopierError, DirtyLocalWarning

    with warnings.catch_warnings():
        # A checkout is rendered as it lies there, changes included; whoever works in it wants exactly that.
        warnings.simplefilter("ignore", DirtyLocalWarning)
        try:
            copier.run_copy(
                str(root), dest, data=answers, defaults=not ask, overwrite=overwrite, quiet=not ask, vcs_ref="HEAD"
            )
        except CopierError as error:
            raise CliError(f"The template could not be rendered: {error}") from error
        except ValueError as error:
            raise UsageError(f"An answer does not fit: {error}") from error
    return sum(path.is_file() for path in dest.rglob("*"))
