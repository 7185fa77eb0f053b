"""Roles: which one somebody has whom a provider lets in, by a claim that it makes."""

import hashlib
from collections.abc import Mapping
from typing import Any

from pipeline.errors import PeekproofError
from pipeline.http.callers.access import READING
from pipeline.http.callers.keys import Key, Role
from schemas.plan import AUTHOR as PLAN

EVERYBODY_ELSE = "*"
LONGEST_NAME = 200  # characters


class NoRoleError(PeekproofError):
    """Somebody is known to the provider, and has no role here."""


def read_roles(text: str) -> dict[str, Role]:
    """Roles by the value of the claim, of `shop-admins=admin, staff=viewer`. Raises ValueError with the rule."""
    roles: dict[str, Role] = {}
    for each in text.split(","):
        value, separator, role = (part.strip() for part in each.rpartition("="))
        if not (value and separator and role in READING):
            raise ValueError(
                f"write VALUE=ROLE, several with commas between them; a ROLE is one of {', '.join(READING)}, and the "
                f"VALUE {EVERYBODY_ELSE} is everybody whom the provider lets in"
            )
        roles[value] = role
    return roles


def person_of(claims: Mapping[str, Any], roles: Mapping[str, Role], role_claim: str, name_claim: str, now: int) -> Key:
    """Who that is, with the highest of the roles that the claim gives. Raises NoRoleError with what is missing."""
    name = claim_of(claims, name_claim)
    if not isinstance(name, str) or not name.strip():
        raise NoRoleError(f"the provider does not say who you are: it told no claim '{name_claim}' (oidc_name_claim)")
    name = name.strip()[:LONGEST_NAME]
    if name.casefold() == PLAN:
        raise NoRoleError(f"'{name}' signs what plans do by themselves, so nobody may be called so")
    if name_claim == "email" and claims.get("email_verified") in (False, "false"):  # some write it as a text
        raise NoRoleError(f"the provider has not verified that '{name}' is yours")
    said = claim_of(claims, role_claim)
    values = said if isinstance(said, list) else [said]
    found = [role for value, role in roles.items() if value == EVERYBODY_ELSE or value in values]
    if not found:
        has = ", ".join(f"'{value}'" for value in values if isinstance(value, str)) or "none"
        raise NoRoleError(
            f"{name}: none of your values of the claim '{role_claim}' has a role here (you have {has}); whoever runs "
            "this server gives them one by oidc_roles, or the provider gives you another"
        )
    who = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()[:12]
    return Key(id=f"person-{who}", role=max(found, key=READING.index), name=name, created=now, hash="")


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the names on the way to it, with dots between them, as in `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
