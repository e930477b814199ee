"""`agentplane keys`: the keys of a fleet, as files."""

from pathlib import Path

import click

from agentplane.cli import render


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--address", "addresses", multiple=True, help="A name or address that hosts reach the bus by.")
@click.option("--operator", "operators", multiple=True, help="Who submits runs, and says which executors there are.")
@click.option("--person", "people", multiple=True, help="Who submits runs.")
@click.option("--executor", "executors", multiple=True, help="An executor that is not to make its own keys, and join.")
@click.option("--tenant", default="default", show_default=True, help="These people's tenant.")
@click.option("--renew-certificate", is_flag=True, help="Only make the bus's certificate anew: same names, two years.")
@render.output_option
def keys(  # noqa: PLR0917 - one parameter per option
    directory: Path,
    addresses: tuple[str, ...],
    operators: tuple[str, ...],
    people: tuple[str, ...],
    executors: tuple[str, ...],
    tenant: str,
    renew_certificate: bool,
    output: str,
) -> int:
    """Make the keys, passwords and certificate of a fleet in DIRECTORY. What exists is kept.

    \b
    trust/, users.json     public: part of the hosts' configuration
    secret/HOST/           private: to that host's /var/keys, and nowhere else
    """  # noqa: D301 - \b is click's
    from datetime import UTC, datetime

    from agentplane.keys import fleet

    if renew_certificate:
        file = fleet.renew(directory, datetime.now(UTC))
        render.emit({"directory": str(directory), "made": [str(file)]}, output, lambda: click.echo(str(file)))
        render.say("bring it to the control host in the old one's place, and restart nats-server: nothing else changes")
        return 0
    wanted = fleet.Wanted(addresses=addresses, executors=executors, people=people, operators=operators, tenant=tenant)
    directory.mkdir(parents=True, exist_ok=True)
    made = fleet.make(directory, wanted, datetime.now(UTC))
    document = {"directory": str(directory), "made": [str(path) for path in made]}
    render.emit(document, output, lambda: _show(directory, made))
    return 0


def _show(directory: Path, made: tuple[Path, ...]) -> None:
    for path in made:
        click.echo(f"{directory / path}")
    render.say(f"{len(made)} new files; {directory / 'secret'} stays with you and with the host that each part is for")
