"""Sessions: how long they live, what ends them, and that nobody makes one up."""

from pathlib import Path

import msgspec

from pipeline.http.callers.keys import Key, Keys
from pipeline.http.callers.origins import is_foreign
from pipeline.http.callers.sessions import BY_KEY, BY_PROVIDER, MOST_ENDED, Session, Sessions, file_in

ANN = Key(id="person-1", role="viewer", name="ann", created=0, hash="")


class Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


def test_a_session_is_its_keys_for_seven_days_and_on_every_server_of_the_installation(tmp_path: Path):
    keys, clock = Keys(tmp_path), Clock()
    key, _ = keys.create("experimenter", "ann")
    began, text = Sessions(keys, clock).begin(key, BY_KEY)

    another = Sessions(Keys(tmp_path), clock)
    found = another.find(text)
    assert (
        found
        == began
        == Session(**msgspec.structs.asdict(key), session=began.session, began=1_000, expires=BY_KEY + 1_000)
    )
    assert file_in(tmp_path).stat().st_mode & 0o777 == 0o600

    clock.now = began.expires - 1
    assert another.find(text) == found
    clock.now = began.expires
    assert another.find(text) is None
    assert not another.holds(began)


def test_a_revoked_key_ends_its_sessions_at_once(tmp_path: Path):
    keys = Keys(tmp_path)
    sessions, (key, _) = Sessions(keys), keys.create("viewer", "ann")
    began, text = sessions.begin(key, BY_KEY)

    Keys(tmp_path).revoke(key.id)

    assert sessions.find(text) is None
    assert not sessions.holds(began)


def test_whoever_signs_out_ends_that_session_for_a_thief_too_and_no_other(tmp_path: Path):
    keys = Keys(tmp_path)
    sessions, another = Sessions(keys), Sessions(keys)
    (one, its_text), (_, text) = sessions.begin(ANN, BY_PROVIDER), sessions.begin(ANN, BY_PROVIDER)

    another.end(one)

    assert sessions.find(its_text) is None
    assert sessions.find(text) is not None


def test_where_more_are_ended_than_are_remembered_all_are(tmp_path: Path):
    clock = Clock()
    sessions = Sessions(Keys(tmp_path), clock)
    began, text = sessions.begin(ANN, BY_PROVIDER)
    memory = msgspec.json.decode(file_in(tmp_path).read_bytes())
    ended = {str(number): 10**12 for number in range(MOST_ENDED)} | {"past": 1}
    file_in(tmp_path).write_bytes(msgspec.json.encode(memory | {"ended": ended}))
    other, its_text = sessions.begin(ANN, BY_PROVIDER)

    clock.now += 1
    sessions.end(began)

    assert sessions.find(text) is sessions.find(its_text) is None
    assert not sessions.holds(other)
    assert msgspec.json.decode(file_in(tmp_path).read_bytes())["ended"] == {}
    assert sessions.find(sessions.begin(ANN, BY_PROVIDER)[1]) is not None


def test_a_cookie_that_nobody_here_signed_is_none(tmp_path: Path):
    sessions, foreign = Sessions(Keys(tmp_path / "ours")), Sessions(Keys(tmp_path / "theirs"))
    assert sessions.find("a.b") is None  # of no session at all
    _, text = sessions.begin(ANN, BY_PROVIDER)
    body, _, signature = text.partition(".")

    for wrong in (foreign.begin(ANN, BY_PROVIDER)[1], body, f"{body}.", f".{signature}", f"{body}x.{signature}", "é.é"):
        assert sessions.find(wrong) is None
    assert sessions.find(sessions.signed("sign-in", sessions.unsigned("session", text) or b"")) is None


def test_cookies_of_other_ports_are_not_taken_for_ours(tmp_path: Path):
    sessions, other = Sessions(Keys(tmp_path / "ours")), Sessions(Keys(tmp_path / "theirs"))
    plain, secure = sessions.cookie("a.b", 60, is_secure=False), sessions.cookie("c.d", 60, is_secure=True)

    assert plain.endswith("=a.b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict")
    assert secure.startswith("__Host-peekproof-")
    assert secure.endswith("; HttpOnly; SameSite=Strict; Secure")
    shown = "; ".join(["x=1", other.cookie("e.f", 60, is_secure=False).partition(";")[0], plain.partition(";")[0]])
    assert sessions.cookie_of(shown) == "a.b"
    assert sessions.cookie_of(f"{shown}; {secure.partition(';')[0]}") == "c.d"
    assert Sessions(Keys(tmp_path / "new")).cookie_of(shown) is None


def test_a_page_of_another_origin_is_foreign_and_so_is_whoever_changes_something_and_does_not_say_whence():
    host = {b"host": b"here:8080"}
    own = [{b"sec-fetch-site": b"same-origin"}, {b"sec-fetch-site": b"none"}, {b"origin": b"https://here:8080"}]
    other = [{b"sec-fetch-site": b"same-site"}, {b"sec-fetch-site": b"cross-site"}]
    other += [{b"origin": b"null"}, {b"origin": b"http://here:3000"}]

    for method in ("GET", "POST"):
        assert not any(is_foreign(method, host | each) for each in own)
        assert all(is_foreign(method, host | each) for each in other)
    assert is_foreign("DELETE", host)
    assert not is_foreign("GET", host)
