"""Every code with which joining, and being an executor, is refused, in words: for documentation. Pure."""

from typing import Final

CODES: Final[dict[str, str]] = {
    "join.token-unknown": "nobody made this token here",
    "join.token-used": "this token let somebody in before; it does so once",
    "join.token-expired": "its time is over",
    "join.token-name": "it was made for another name",
    "join.name-taken": "an executor of this name has other keys",
    "join.left": "an executor of this name was retired or revoked; names are not given away again",
    "join.key-taken": "the keys are another executor's",
    "join.full": "too many wait for an operator already",
    "executor.revoked": "an operator shut it out; its heartbeats are refused",
    "executor.retired": "an operator let it go; its heartbeats are refused",
    "executor.key-expired": "its key was rotated out",
    "executor.key": "its key is not trusted for it",
    "executor.unknown": "it is not in the inventory, and has not joined",
    "executor.disabled": "the inventory disables it",
    "executor.journal": "its journal contradicts what is committed of it",
    "key-revoked": "mark of evidence that came after its executor was revoked",
    "key-expired": "mark of evidence that came after its key was rotated out",
}
