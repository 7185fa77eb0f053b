"""People who use a server as browsers do, and programs that show keys."""

from typing import Any

import httpx

from pipeline.http.callers.keys import Keys, Role
from pipeline.settings import Settings


class People:
    """Who has a key of each role."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.settings, self.address, self.keys = settings, address, Keys(settings.data)
        self.texts = {role: self.keys.create(role, f"{role} ann")[1] for role in ("viewer", "experimenter", "admin")}

    def browser(self, role: Role | None = None, origin: str | None = None) -> httpx.Client:
        """One that says where its page is from, in which somebody has signed in."""
        client = httpx.Client(base_url=f"{self.address}/api/1", headers={"origin": origin or self.address}, timeout=20)
        if role is not None:
            assert client.post("session", json={"key": self.texts[role]}).status_code == 200
        return client

    def call(self, method: str, path: str, by: Role = "viewer", code: int = 200, **body: Any) -> Any:
        """What a program is answered that shows the key of this role."""
        headers = {"authorization": f"Bearer {self.texts[by]}"}
        answer = httpx.request(method, f"{self.address}/api/1/{path}", json=body or None, headers=headers, timeout=20)
        assert answer.status_code == code, answer.text
        return answer.json() if answer.content else None
