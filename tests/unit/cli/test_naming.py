"""Words of a command line as things: both ways of naming, and what a shell completes."""

import click
import pytest
from click.shell_completion import ShellComplete

from agentplane.cli.main import cli
from agentplane.cli.naming import Named, joined, named, run_name, split


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("organizations", [("organizations", ())]),
        ("organization acme", [("organization", ("acme",))]),
        ("organization acme beta acme", [("organization", ("acme", "beta"))]),
        ("organization team-b/acme", [("organization", ("team-b/acme",))]),
        ("Organization/acme", [("Organization", ("acme",))]),
        ("Organization/acme Run/r1 Organization/beta", [("Organization", ("acme", "beta")), ("Run", ("r1",))]),
        ("Organization/team-b/acme", [("Organization", ("team-b/acme",))]),
        ("agent/project-a/builder", [("agent", ("project-a/builder",))]),
    ],
)
def test_both_ways_of_naming_mean_the_same(words: str, meant: list[tuple[str, tuple[str, ...]]]) -> None:
    assert named(words.split()) == tuple(Named(*each) for each in meant)


@pytest.mark.parametrize("words", ["Organization/acme beta", "Organization/", "/acme", "organization /"])
def test_what_names_nothing_is_a_mistake(words: str) -> None:
    with pytest.raises(click.UsageError):
        named(words.split())


def test_a_name_that_says_its_namespace_is_in_that_one() -> None:
    assert split("acme", None) == ("default", "acme")
    assert split("acme", "team-b") == ("team-b", "acme")
    assert split("team-c/acme", "team-b") == ("team-c", "acme")


def test_a_run_may_be_named_as_it_is_printed() -> None:
    for word in ("noop-1", "Run/noop-1", "runs/noop-1"):
        assert run_name(word) == "noop-1"
    assert run_name("Runner/noop-1") == "Runner/noop-1"


@pytest.mark.parametrize("namespace", [None, "default", "team-b"])
def test_a_printed_name_is_understood_again(namespace: str | None) -> None:
    ((kind, (name,)),) = named([joined("Organization", "acme", namespace)])
    assert (kind, *split(name, None)) == ("Organization", namespace or "default", "acme")


@pytest.mark.parametrize(
    ("before", "begun", "completed"),
    [
        (["get"], "org", {"organizations", "Organization"}),
        (["describe"], "mailb", {"mailboxes"}),
        (["delete"], "Work", {"WorkOrder", "workitems"}),
        (["apply"], "", {"Organization", "WorkOrder"}),
        (["schema"], "Exec", {"Executor"}),
        ([], "ge", {"get"}),
        (["get", "organizations"], "org", set()),
    ],
)
def test_a_shell_completes_kinds(before: list[str], begun: str, completed: set[str]) -> None:
    found = {each.value for each in ShellComplete(cli, {}, "agentplane", "_").get_completions(before, begun)}
    assert completed <= found
    assert completed or not found & {"organizations", "Organization"}
