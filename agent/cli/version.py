"""`hubiao version`."""

from __future__ import annotations

import importlib.metadata
import platform

import click

from agent.cli.output import document


@click.command()
@click.option("--json", "as_json", is_flag=True)
def version(as_json: bool) -> None:
    """版本 / version of the program and of Python."""
    found = importlib.metadata.version("hubiao")
    if as_json:
        document({"hubiao": found, "python": platform.python_version()})
    else:
        click.echo(f"hubiao {found} (Python {platform.python_version()})")
