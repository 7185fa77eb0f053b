"""The management API, called as a person's program calls it."""

from typing import Any

import httpx

from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from schemas.catalog import Flag


class Api:
    """The API with a key of an experimenter, over a shop with an experiment."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.settings, self.address = settings, f"{address}/api/1/"
        keys = Keys(settings.data)
        self.experimenter, self.admin = keys.create("experimenter", "ann")[1], keys.create("admin", "root")[1]

    def call(self, method: str, path: str, body: Any = None, code: int = 200, key: str | None = None) -> Any:
        headers = {"authorization": f"Bearer {key or self.experimenter}"}
        answer = httpx.request(method, self.address + path, json=body, headers=headers, timeout=20)
        assert answer.status_code == code, answer.text
        return answer.json()

    def definition(self, key: str) -> Flag:
        return read_catalog(self.settings).newest.flags[key].definition
