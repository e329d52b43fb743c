"""What names and slugs may look like."""

from __future__ import annotations

import re
import secrets

from behest_gateway.core.errors import invalid

PLANS = ("free", "pro", "max", "business", "enterprise")

MAX_NAME = 200
MIN_SLUG, MAX_SLUG = 3, 63
"""A slug is a DNS label."""

RESERVED_SLUGS = frozenset({"admin", "api", "auth", "dashboard", "www"})

_SLUG = re.compile(r"[a-z0-9](-?[a-z0-9])*")

_ADJECTIVES = """
    amber autumn bold brave bright calm clear clever cool copper coral crimson crisp daring dawn deep eager early easy
    fair fancy fast fine fleet fresh gentle glad golden grand green happy hidden honest humble indigo ivory jade jolly
    keen kind late lemon light little lively lucky lunar mellow merry mild misty modest neat nimble noble olive patient
    plain polar proud pure quick quiet rapid rare ready red royal ruby rustic scarlet shy silent silver simple sleek
    smooth snowy soft solar solid spring steady still stout sunny super swift tidy tiny vivid warm wild winter wise
    young
""".split()  # noqa: SIM905  (a list of words reads better as text)
_NOUNS = """
    acorn anchor arrow aspen badger bay beacon birch bird breeze bridge brook canyon cedar cliff cloud comet cove crane
    creek crest dawn deer delta dove dune eagle echo elm ember falcon feather fern field finch fjord flame flower fog
    forest fox garden glade grove gull harbor hawk hazel heron hill island jay lagoon lake lantern lark leaf lily lion
    lynx maple marsh meadow mesa moon moss mountain nest oak ocean orchid otter owl panda peak pebble pine planet pond
    prairie rain raven reed reef ridge river robin sage sea shore sky snow sparrow spruce star stone stream summit sun
    swan thunder tide tiger trail tree tulip valley wave willow wind wolf wren
""".split()  # noqa: SIM905  (a list of words reads better as text)


def clean_name(name: str, param: str = "name") -> str:
    """Return a name for people without the space around it.

    Raises:
        GatewayError: 400 when nothing is left, it is too long, or it holds what cannot be shown.
    """
    name = name.strip()
    if not name:
        raise invalid(f"{param} must not be empty", param)
    if len(name) > MAX_NAME:
        raise invalid(f"{param} is longer than {MAX_NAME} characters", param)
    if not name.isprintable():
        raise invalid(f"{param} must not contain control characters", param)
    return name


def clean_plan(plan: str) -> str:
    """Return a plan that exists; 400 otherwise."""
    if plan not in PLANS:
        raise invalid(f"plan is one of {', '.join(PLANS)}", "plan")
    return plan


def clean_slug(slug: str) -> str:
    """Return a slug that may be the first label of a host name; 400 otherwise."""
    if not MIN_SLUG <= len(slug) <= MAX_SLUG or _SLUG.fullmatch(slug) is None:
        raise invalid(
            f"slug has {MIN_SLUG} to {MAX_SLUG} lower-case letters and digits, with single hyphens between them", "slug"
        )
    if slug in RESERVED_SLUGS:
        raise invalid(f"slug {slug!r} is reserved", "slug")
    return slug


def new_slug() -> str:
    """Make a slug such as `amber-fox-042`; ten million are possible, so try again when it is taken."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000):03d}"
