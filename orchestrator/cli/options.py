"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.decorators import FC


def split_assignment(text: str) -> tuple[str, str]:
    """Split `Section/name=value`; the value may hold anything, also `=`, and may be empty.

    Raises:
        click.BadParameter: it is of another form.
    """
    key, equals, value = text.partition("=")
    if not equals or "/" not in key.strip("/"):
        raise click.BadParameter(f"{text!r} is not of the form Section/name=value, such as General/TREES=80.")
    return key, value


def set_option(help_text: str) -> Callable[[FC], FC]:
    """Return the option `--set Section/name=value`, which may be given several times."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION/NAME=VALUE",
        help=help_text,
        callback=lambda _context, _parameter, values: tuple(split_assignment(text) for text in values),
    )
