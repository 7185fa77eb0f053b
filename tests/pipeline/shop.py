"""A small shop: a directory of documents beside a deployment, and the command line over both."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from pipeline.cli import command
from pipeline.settings import Settings

METRIC = "key: purchase\nowner: shop\ntype: conversion\nevent: purchase\nwindow: 10s\n"
FLAG = """\
key: button
owner: shop
rollout: 50
variants:
  - key: control
  - key: treatment
metrics:
  - metric: purchase
"""


class Shop:
    """A directory of documents beside a deployment, and the command line over both."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.directory = directory
        self.environment = settings.environment() if settings else {}
        for folder, text in (("metrics", METRIC), ("experiments", FLAG)):
            (directory / folder).mkdir(parents=True)
            (directory / folder / "a.yaml").write_text(text)

    @property
    def flag(self) -> Path:
        return self.directory / "experiments" / "a.yaml"

    def rewrite(self, before: str, after: str) -> None:
        text = self.flag.read_text()
        assert before in text
        self.flag.write_text(text.replace(before, after))

    def call(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(command, arguments, env=self.environment, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    def told(self, *arguments: str) -> object:
        return json.loads(self.call(*arguments, "--json").stdout)

    def apply(self, *arguments: str, code: int = 0) -> Result:
        return self.call("apply", str(self.directory), *arguments, code=code)
