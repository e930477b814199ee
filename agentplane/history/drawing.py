"""A causal graph as a text tree, Mermaid or DOT. Pure.

What events say of themselves comes from outside: Mermaid and DOT have it escaped, and no control character passes.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from agentplane.events.model import StoredEvent
from agentplane.history.causes import Causes

ORIGINAL_CAUSE: Final = "original_cause"  # in data, as agentplane.domains.work.aliases keeps it
_WORD_CHARS: Final = 80
_MERMAID: Final = str.maketrans({'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "&": "#amp;", "\\": "#92;"})
_DOT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})


def text(graph: Causes) -> str:
    """An indented tree, causes above effects; `←` marks the event that was asked for."""
    return "\n".join(_text(graph)) + "\n"


def mermaid(graph: Causes) -> str:
    """A Mermaid flowchart."""
    lines = ["flowchart TD"]
    lines += [f'  e{each.sequence}["{_words(each).translate(_MERMAID)}"]' for each in graph.events.values()]
    lines += [
        f'  d{graph.events[id_].sequence}["missing {cause}"]:::dangling -.-> e{graph.events[id_].sequence}'
        for id_, cause in graph.dangling.items()
    ]
    lines += [f"  e{cause} --> e{effect}" for cause, effect in _edges(graph)]
    lines += [f"  style e{graph.events[graph.of].sequence} stroke-width:3px"]
    return "\n".join([*lines, "  classDef dangling stroke-dasharray: 5 5"]) + "\n"


def dot(graph: Causes) -> str:
    """A Graphviz digraph."""
    lines = ["digraph causes {", "  node [shape=box];"]
    for id_, each in graph.events.items():
        bold = ", penwidth=3" if id_ == graph.of else ""
        lines.append(f'  e{each.sequence} [label="{_words(each).translate(_DOT)}"{bold}];')
    for id_, cause in graph.dangling.items():
        here = graph.events[id_].sequence
        lines.append(f'  d{here} [label="missing {cause}", style=dashed];')
        lines.append(f"  d{here} -> e{here} [style=dashed];")
    lines += [f"  e{cause} -> e{effect};" for cause, effect in _edges(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def _edges(graph: Causes) -> Iterator[tuple[int, int]]:
    for cause, effects in graph.effects.items():
        for effect in effects:
            yield graph.events[cause].sequence, graph.events[effect].sequence


def _text(graph: Causes) -> Iterator[str]:
    """Depth first, without recursion: a chain may be longer than the stack is deep. A lone effect is not indented."""
    for root in graph.roots:
        if root in graph.dangling:
            yield f"(dangling: cause {_missing(graph, root)} is not in this log)"
        waiting = [(root, "↓ " if root in graph.dangling else "", "")]
        while waiting:
            id_, lead, indent = waiting.pop()
            mark = "  ←" if id_ == graph.of else ""
            yield f"{lead}{_words(graph.events[id_])}{mark}"
            waiting.extend(reversed(list(_leads(graph.effects[id_], indent))))


def _missing(graph: Causes, effect: uuid.UUID) -> str:
    """A cause that is not here: by its id, and as its source calls it where the effect says so."""
    word = graph.events[effect].event.data.get(ORIGINAL_CAUSE)
    return f"{graph.dangling[effect]}" + (f" ({_printable(word[:_WORD_CHARS])})" if isinstance(word, str) else "")


def _leads(effects: Sequence[uuid.UUID], indent: str) -> Iterator[tuple[uuid.UUID, str, str]]:
    """Each effect with what stands before it and before all below it."""
    if len(effects) == 1:
        yield effects[0], f"{indent}↓ ", indent
        return
    for each in effects:
        last = each == effects[-1]
        yield each, f"{indent}{'└─ ' if last else '├─ '}", f"{indent}{'   ' if last else '│  '}"


def _words(stored: StoredEvent) -> str:
    event, stream = stored.event, stored.event.stream
    words = f"{stored.sequence} {event.type} {stream.kind}/{stream.name} ({event.phase}, {event.actor})"
    return _printable(words)


def _printable(words: str) -> str:
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in words)
