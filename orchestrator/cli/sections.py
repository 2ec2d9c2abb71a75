"""Commands with many options: help shows them under headings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.decorators import FC


class SectionedOption(click.Option):
    """An option that stands under a heading.

    Args:
        section: the heading.
    """

    def __init__(self, param_decls: Sequence[str], *, section: str, **attributes: Any) -> None:  # noqa: ANN401  click's
        super().__init__(param_decls, **attributes)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help shows its options under headings, in the order in which they were given."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                heading = getattr(parameter, "section", None)
                (others if heading is None else sections.setdefault(heading, [])).append(record)
        for heading, records in {**sections, "Options": others}.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def option(*declarations: str, **attributes: Any) -> tuple[tuple[str, ...], dict[str, Any]]:  # noqa: ANN401  click's
    """Return an option for `section`; see `click.option`."""
    return declarations, attributes


def section(heading: str, *options: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[[FC], FC]:
    """Return a decorator that gives a command options under a heading.

    Args:
        heading: what help shows above them.
        options: made by `option`, in the order in which help shows them.
    """

    def decorate(command: FC) -> FC:
        for declarations, attributes in reversed(options):
            command = click.option(*declarations, cls=SectionedOption, section=heading, **attributes)(command)
        return command

    return decorate
