"""What a person told us once: the gateway's address, the operator's secret, the project and its key, by profile name.

They lie in one JSON file, readable by its owner only, in the user's configuration directory. An option wins over the
environment, which wins over the profile.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from behest_cli.errors import CliError

MAX_BYTES = 1_000_000
"""A profile file larger than this is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known about one gateway; everything may be missing."""

    base_url: str | None = None
    admin_token: str | None = field(default=None, repr=False)
    tenant: str | None = None
    project: str | None = None
    key: str | None = field(default=None, repr=False)

    def merged(self, other: Profile) -> Profile:
        """Let what the other one knows win.

        >>> Profile(base_url="http://a", project="p").merged(Profile(base_url="http://b")).project
        'p'
        """
        return replace(self, **{name: value for name, value in asdict(other).items() if value is not None})

    def masked(self) -> Profile:
        """Show secrets by their last four characters only.

        >>> Profile(key="behest_sk_live_0123456789abcdef").masked().key
        '…cdef'
        """
        return replace(self, admin_token=mask(self.admin_token), key=mask(self.key))


def mask(secret: str | None) -> str | None:
    """Show enough of a secret to tell it from another.

    >>> mask("a-long-enough-secret"), mask("short")
    ('…cret', '…')
    """
    if secret is None:
        return None
    return f"…{secret[-4:]}" if len(secret) >= 12 else "…"


def path() -> Path:
    """Where the profiles lie: the platform's folder for a program's settings, or `BEHEST_CONFIG_DIR`."""
    import typer

    return Path(os.environ.get("BEHEST_CONFIG_DIR") or typer.get_app_dir("behest")) / "profiles.json"


def load(name: str) -> Profile:
    """Read one profile, empty when nothing was saved under that name.

    Raises:
        CliError: The file is damaged.
    """
    known = {entry.name for entry in fields(Profile)}
    saved = _read_all().get(name, {})
    return Profile(**{key: str(value) for key, value in saved.items() if key in known and value is not None})


def save(name: str, profile: Profile) -> Path:
    """Write one profile and leave the others as they are; the file gets mode 600.

    Raises:
        CliError: The file is damaged.
    """
    everything = _read_all()
    everything[name] = {key: value for key, value in asdict(profile).items() if value is not None}
    file = path()
    write_private(file, json.dumps(everything, indent=2) + "\n")
    return file


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step by one that only its owner may read; its folder is made when missing."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # Made with mode 600.
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_all() -> dict[str, dict[str, Any]]:
    file = path()
    try:
        with file.open(encoding="utf-8") as stream:
            decoded: object = json.loads(stream.read(MAX_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CliError(f"The profiles in {file} cannot be read: {error}", hint="Mend or remove that file.") from error
    if not isinstance(decoded, dict) or not all(
        isinstance(entry, dict) for entry in cast("dict[str, object]", decoded).values()
    ):
        raise CliError(f"The profiles in {file} are not a JSON object of objects.", hint="Mend or remove that file.")
    return cast("dict[str, dict[str, Any]]", decoded)
