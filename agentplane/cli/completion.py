"""`agentplane completion`: the script by which a shell completes commands, options and kinds. Asks nobody."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what a shell needs to complete commands, options and kinds.

    \b
    bash    source <(agentplane completion bash)              in ~/.bashrc
    zsh     source <(agentplane completion zsh)               in ~/.zshrc, after compinit
    fish    agentplane completion fish | source               in ~/.config/fish/config.fish
    """  # noqa: D301 - \b is click's
    from click.shell_completion import get_completion_class

    known = get_completion_class(shell)
    assert known is not None  # noqa: S101 - the choice above
    click.echo(known(ctx.find_root().command, {}, "agentplane", "_AGENTPLANE_COMPLETE").source())
    return 0
