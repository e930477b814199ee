"""Label selectors, as Kubernetes writes them."""

import pytest

from agentplane.errors import Refused
from agentplane.queries.selectors import matches, parse

LABELS = {"tier": "free", "stage": "dev", "example.org/owner": "ada"}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ("", True),
        ("tier=free", True),
        ("tier==free", True),
        ("tier=paid", False),
        ("tier!=paid", True),
        ("none!=x", True),  # a key that is missing differs
        ("stage in (dev, staging)", True),
        ("stage in (prod)", False),
        ("stage notin (prod,dev)", False),
        ("none notin (prod)", True),
        ("tier", True),
        ("!tier", False),
        ("none", False),
        ("!none", True),
        ("example.org/owner=ada,tier in (free,paid),!none", True),
        ("tier=free, stage=prod", False),
    ],
)
def test_conditions(selector: str, *, holds: bool) -> None:
    assert matches(parse(selector), LABELS) is holds


@pytest.mark.parametrize("selector", ["tier=", "=x", "tier in free", "a b", "tier in (a", ",", "a=b;drop", "x" * 3000])
def test_what_is_no_selector(selector: str) -> None:
    if selector == "tier=":  # an empty value is a value
        assert not matches(parse(selector), LABELS)
        return
    with pytest.raises(Refused) as caught:
        parse(selector)
    assert caught.value.code == "query.selector"
