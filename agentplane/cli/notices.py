"""Telling a person, once and on stderr, that an answer is from a read model that is not simply live."""

import json
from typing import Any

import click


class Notices:
    """What one command has heard. `heard`: as data, one of each read model, the newest."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._heard: dict[str, dict[str, Any]] = {}

    def hear(self, notices: bytes) -> None:
        """Take a JSON array of notices, and say what is new in them. They are others' words: any form is survived."""
        try:
            found = json.loads(notices)
        except ValueError:
            return
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict):
                self._take(each)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """The notices as data."""
        return list(self._heard.values())

    def _take(self, notice: dict[str, Any]) -> None:
        from agentplane.cli import render

        name, state = str(notice.get("projection")), str(notice.get("state"))
        self._heard[name] = notice
        if (name, state) not in self._told:
            self._told.add((name, state))
            said = " ".join(str(notice.get("message")).split())
            render.say(f"note: read model {name}, {state}: {said}", style="yellow")


def heard(ctx: click.Context) -> dict[str, list[dict[str, Any]]]:
    """The field `notices` of an answer that is an object of ours; nothing where there are none."""
    notices = (ctx.find_root().obj or {}).get("notices")
    found = notices.heard if isinstance(notices, Notices) else []
    return {"notices": found} if found else {}
