"""Keys: what a person does with them on the command line, and what the server makes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException
from litestar.testing import create_test_client

from pipeline.cli import command
from pipeline.errors import PeekproofError
from pipeline.http.app import EXCEPTION_HANDLERS
from pipeline.http.callers.access import EDITING, RATES, READING, Access, bearer, requires
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings


async def nothing() -> None: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(data: Path, *arguments: str) -> str:
    environment = {"PEEKPROOF_DATA": str(data)}
    result = CliRunner().invoke(command, ("key", *arguments), env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_is_shown_once_and_kept_as_a_hash_that_only_its_owner_may_read(data: Path):
    text = call(data, "create", "experimenter", "--name", "ann").strip()

    (path,) = data.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert text[21:] not in path.read_text()
    assert call(data, "list").startswith(f"{text[:21]}  20")
    (listed,) = json.loads(call(data, "list", "--json"))
    assert listed == {"id": text[:21], "role": "experimenter", "name": "ann", "created": listed["created"]}


def test_a_revoked_key_opens_nothing_in_a_server_that_runs(data: Path):
    ann, bob = (json.loads(call(data, "create", "viewer", "--name", name, "--json")) for name in ("ann", "bob"))
    access = Access(Keys(data))
    assert access.admit(ann["key"], READING).name == "ann"

    assert call(data, "revoke", ann["id"]) == f"{ann['id']} of ann opens nothing any more\n"

    with pytest.raises(NotAuthorizedException):
        access.admit(ann["key"], READING)
    assert access.admit(bob["key"], READING).name == "bob"
    with pytest.raises(PeekproofError, match=f"there is no key '{ann['id']}'"):
        Keys(data).revoke(ann["id"])


def test_a_key_that_is_wrong_in_one_character_is_none(data: Path):
    keys = Keys(data)
    _, text = keys.create("admin", "ann")

    assert keys.find(text) is not None
    for wrong in (text[:-1], text + "x", text[:-1] + chr(ord(text[-1]) ^ 1), text[:14], "", "é", "admin-"):
        assert keys.find(wrong) is None


def test_a_key_without_the_role_is_told_which_it_wants(data: Path):
    keys = Keys(data)
    _, text = keys.create("client", "web", "web")

    with pytest.raises(PermissionDeniedException, match="a key of the role client; this wants experimenter or admin"):
        Access(keys).admit(text, EDITING)
    with pytest.raises(NotAuthorizedException, match="the key is missing"):
        Access(keys).admit(None, EDITING)
    assert Access(keys, is_open=True).admit(None, EDITING).name == "demo"


def test_only_a_deployment_has_client_and_server_keys(data: Path):
    with pytest.raises(PeekproofError, match="a server key belongs to a deployment"):
        Keys(data).create("server", "ann")
    with pytest.raises(PeekproofError, match="a key of the role admin belongs to no deployment"):
        Keys(data).create("admin", "ann", "web")


def test_a_key_in_a_hurry_has_to_wait_and_others_have_not(data: Path):
    now = 100.0
    keys = Keys(data)
    (_, ann), (_, bob) = keys.create("viewer", "ann"), keys.create("viewer", "bob")
    access = Access(keys, clock=lambda: now)
    for _ in range(RATES["viewer"]):
        access.admit(ann, READING)

    with pytest.raises(TooManyRequestsException, match="more than 100 requests a second") as refused:
        access.admit(ann, READING)

    assert refused.value.headers == {"Retry-After": "1"}
    access.admit(bob, READING)
    now += 0.5
    for _ in range(50):
        access.admit(ann, READING)
    with pytest.raises(TooManyRequestsException):
        access.admit(ann, READING)


def test_a_request_that_is_guarded_twice_is_one_of_its_keys_rate(data: Path):
    @post("/", guards=[requires(EDITING)])
    async def edit() -> None: ...

    keys = Keys(data)
    (_, ann), (_, bob) = keys.create("experimenter", "ann"), keys.create("viewer", "bob")
    backend = SimpleNamespace(access=Access(keys, clock=lambda: 0.0))
    guarded = Router("/", route_handlers=[edit], guards=[requires(READING)])

    with create_test_client(guarded, state=State({"backend": backend})) as client:

        def status(text: str) -> int:
            return client.post("/", headers={"authorization": f"Bearer {text}"}).status_code

        assert [status(ann) for _ in range(RATES["experimenter"] + 1)] == [*[201] * RATES["experimenter"], 429]
        assert status(bob) == 403
        assert status("experimenter-1") == 401


def test_a_key_is_of_a_deployment_that_there_is(shop: Settings):
    def create(*arguments: str) -> Result:
        return CliRunner().invoke(command, ("key", "create", *arguments), env=shop.environment())

    refused = create("client", "--deployment", "nosuch")

    assert refused.exit_code != 0
    assert isinstance(refused.exception, PeekproofError)
    assert "'nosuch' is no deployment of the catalog; there are: backend, web (`peekproof apply`" in str(
        refused.exception
    )
    assert Keys(shop.data).all() == []
    assert create("client", "--deployment", "web").exit_code == 0
    assert [key.deployment for key in Keys(shop.data).all()] == ["web"]


def test_a_file_that_holds_no_keys_is_told(data: Path):
    data.mkdir()
    (data / "keys.json").write_text("[{")

    with pytest.raises(PeekproofError, match="holds no keys"):
        Keys(data).find("admin-12345678")

    access = Access(Keys(data))
    assert access.find("admin-12345678") is None
    with create_test_client(
        Router("/", route_handlers=[get("/", guards=[requires(READING)])(nothing)]),
        state=State({"backend": SimpleNamespace(access=access)}),
        exception_handlers=EXCEPTION_HANDLERS,
    ) as client:
        answer = client.get("/", headers={"authorization": "Bearer admin-12345678"})
    assert answer.status_code == 503
    assert "cannot be read or changed; `peekproof doctor` tells why" in answer.text
    assert str(data) not in answer.text


def full(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """`peekproof key` where no file can hold a byte."""
    refuse = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    program = f"import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {refuse}; "
    program += "from pipeline.cli import main; sys.argv = ['peekproof', 'key', *sys.argv[1:]]; main()"
    command = [sys.executable, "-B", "-c", program, *arguments]
    return subprocess.run(
        command, env=os.environ | {"PEEKPROOF_DATA": str(data)}, capture_output=True, text=True, check=False
    )


def test_on_a_full_disk_the_keys_stay_as_they_were_and_a_sentence_says_so(data: Path):
    ended = full("create", "admin", data=data)

    assert (ended.returncode, ended.stdout, [*data.iterdir()]) == (2, "", [])
    assert ended.stderr.count("\n") == 1
    assert "keys.json' cannot be written (File too large), and stays as it was; make room" in ended.stderr

    key, _ = Keys(data).create("admin", "ann")
    before = (data / "keys.json").read_bytes()
    assert (full("create", "viewer", data=data).returncode, full("revoke", key.id, data=data).returncode) == (2, 2)
    assert [path.read_bytes() for path in data.iterdir()] == [before]


def test_a_directory_that_is_none_is_told(data: Path):
    data.write_text("a file")

    with pytest.raises(PeekproofError, match=r"keys\.json' (cannot be written|holds no keys)"):
        Keys(data).create("admin", "ann")


def test_a_header_carries_a_key_in_the_ways_of_the_sdks():
    assert bearer("Bearer admin-1") == bearer("Api-Key admin-1") == bearer("bearer  admin-1") == "admin-1"
    assert bearer(None) is bearer("Basic YTpi") is bearer("Bearer") is None
