"""Sign-in by OpenID Connect, at a provider that is a process of its own."""

import html
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from playwright.sync_api import expect, sync_playwright

from pipeline.errors import PeekproofError
from pipeline.http.session.roles import NoRoleError, claim_of, person_of, read_roles
from pipeline.http.session.sign_in import page_of
from pipeline.settings import Secret, Settings
from tests.live import wait_for
from tests.pipeline.http.server import serving
from tests.pipeline.http.session.people import People

ANN = {"sub": "ann", "email": "ann@shop.example", "name": "Ann <b>", "groups": ["growth", "staff"]}
BOB = {"sub": "bob", "email": "bob@shop.example", "groups": ["sales"]}


class Organisation(NamedTuple):
    """A server, and the provider that lets people in."""

    address: str
    issuer: str
    provider: subprocess.Popen[bytes]

    def goes(self, browser: httpx.Client, sub: str, to: str = "#/experiments/checkout") -> httpx.Response:
        """Sign in as a browser does, up to the answer of our own server."""
        left = browser.get("/sign-in", params={"to": to})
        assert (left.status_code, left.headers["location"].startswith(self.issuer)) == (303, True)
        back = httpx.post(left.headers["location"], data={"sub": sub})
        return browser.get(back.headers["location"])

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers={"origin": self.address}, timeout=20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def organisation(people: People) -> Iterator[Organisation]:
    ports = free_port(), free_port()
    issuer, address = (f"http://127.0.0.1:{port}" for port in ports)
    known = [argument for user in (ANN, BOB) for argument in ("--user-claims", json.dumps(user))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(ports[0]), "--require-nonce", "true", *known]
    oidc = {
        "url": address,
        "oidc_issuer": issuer,
        "oidc_client_id": "peekproof",
        "oidc_client_secret": Secret("secret"),
        "oidc_roles": "staff=viewer, growth=experimenter",
    }
    settings = msgspec.structs.replace(people.settings, **oidc)
    provider = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        with serving(settings, f"--port={ports[1]}", is_open=False):
            yield Organisation(address, issuer, provider)
    finally:
        provider.kill()
        provider.wait()


def is_there(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def test_a_person_signs_in_at_the_provider_with_the_highest_role_of_its_claim(organisation: Organisation):
    wait_for(lambda: is_there(f"{organisation.issuer}/.well-known/openid-configuration"), what="the provider")
    browser = organisation.browser()

    left = browser.get("/sign-in")
    asked = parse_qs(urlsplit(left.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert "HttpOnly; SameSite=Lax" in left.headers["set-cookie"]

    arrived = organisation.goes(browser, "ann")

    assert (arrived.status_code, arrived.headers["location"]) == (303, "/#/experiments/checkout")
    assert "HttpOnly; SameSite=Strict" in arrived.headers["set-cookie"]
    me = browser.get("/api/1/me").json()
    assert (me["name"], me["role"], me["may"]) == ("ann@shop.example", "experimenter", ["read", "edit"])
    assert me["id"].startswith("person-")
    leave = browser.delete("/api/1/session").json()["leave"]
    assert leave.startswith(f"{organisation.issuer}/oauth2/end_session?")
    assert browser.get("/api/1/me").status_code == 401
    assert organisation.goes(browser, "ann", to="https://evil.example").headers["location"] == "/#/"


def test_whoever_has_no_role_is_refused_with_a_page_that_says_why(organisation: Organisation):
    browser = organisation.browser()

    refused = organisation.goes(browser, "bob")

    assert refused.status_code == 403
    why = html.unescape(refused.text)
    assert "none of your values of the claim 'groups' has a role here (you have 'sales')" in why
    assert browser.get("/api/1/me").status_code == 401


def test_a_sign_in_that_did_not_begin_in_this_browser_ends_nowhere(organisation: Organisation):
    ann, thief = organisation.browser(), organisation.browser()
    back = httpx.post(ann.get("/sign-in").headers["location"], data={"sub": "ann"}).headers["location"]
    thief.get("/sign-in")

    assert organisation.browser().get(back).status_code == 400  # where none began
    assert thief.get(back).status_code == 400  # where another began
    assert ann.get(f"{back}&iss=https://evil.example").status_code == 400
    assert ann.get(back).status_code == 303
    again = ann.get(back)
    assert (again.status_code, "does not answer as it should" in again.text) == (502, True)  # a code is good once


def test_one_signs_in_and_out_in_a_browser(organisation: Organisation, chromium: str):
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        page.goto(f"{organisation.address}/#/flags/nosuch")
        page.get_by_role("link", name="Sign in with 127.0.0.1").click()
        page.get_by_placeholder("sub").fill("ann")
        page.get_by_role("button", name="Authorize").click()

        expect(page.get_by_role("heading", name="Not here")).to_be_visible()
        assert page.url == f"{organisation.address}/#/flags/nosuch"
        page.get_by_role("button", name="ann@shop.example").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(re.compile(re.escape(organisation.issuer)))


def test_without_the_provider_it_says_so_and_everybody_else_goes_on(organisation: Organisation, people: People):
    ann = organisation.browser()
    assert organisation.goes(ann, "ann").status_code == 303

    organisation.provider.kill()
    organisation.provider.wait()

    back = httpx.URL(ann.get("/sign-in").headers["location"]).params
    told = ann.get("/sign-in/callback", params={"state": back["state"], "code": "x"})
    assert (told.status_code, "does not answer as it should" in told.text) == (502, True)
    assert ann.get("/api/1/me").status_code == 200
    with_key = {"authorization": f"Bearer {people.texts['viewer']}"}
    assert httpx.get(f"{organisation.address}/api/1/me", headers=with_key).status_code == 200


def test_a_sign_in_leads_to_a_page_of_the_console_and_adds_nothing_to_its_answer():
    assert page_of("#/unit?user_id=a%20b&x=1") == "#/unit?user_id=a%20b&x=1"
    assert page_of("#/é\r\nSet-Cookie: x") == "#/%C3%A9%0D%0ASet-Cookie:%20x"
    for none in ("https://evil.example", "//evil.example", "", "#/" + "x" * 1_000):
        assert page_of(none) == "#/"


def test_claims_become_a_person_or_a_sentence():
    roles = read_roles("a=b=viewer, *=viewer, ops=admin")
    assert roles == {"a=b": "viewer", "*": "viewer", "ops": "admin"}
    for wrong in ("", "ops", "ops=king", "=viewer", "ops=server"):
        with pytest.raises(ValueError, match="write VALUE=ROLE"):
            read_roles(wrong)
    who: dict[str, Any] = {"iss": "i", "sub": "s", "email": " ann@x ", "realm_access": {"roles": ["ops"]}, "u/r": "ops"}
    assert claim_of(who, "realm_access.roles") == ["ops"]
    assert claim_of(who, "email.roles") is None

    person = person_of(who, roles, "realm_access.roles", "email", 5)
    assert (person.role, person.name, person.hash) == ("admin", "ann@x", "")
    assert person_of(who | {"sub": "t"}, roles, "u/r", "email", 5).id != person.id
    assert person_of(who, roles, "groups", "email", 5).role == "viewer"
    for claims, why in (
        ({"email": None}, "told no claim 'email'"),
        ({"email": "Plan"}, "nobody may be called so"),
        ({"email_verified": False}, "has not verified"),
        ({"email_verified": "false"}, "has not verified"),
    ):
        with pytest.raises(NoRoleError, match=why):
            person_of(who | claims, roles, "groups", "email", 5)


def test_settings_of_a_provider_are_whole_and_safe():
    with pytest.raises(PeekproofError, match="oidc_issuer is set, but oidc_client_id is not"):
        Settings(oidc_issuer="https://login.example")
    with pytest.raises(PeekproofError, match=r"PEEKPROOF_OIDC_ISSUER: 'http://login\.example' does not fit"):
        Settings.read({"PEEKPROOF_OIDC_ISSUER": "http://login.example"})
