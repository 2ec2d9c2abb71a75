"""What people may write where a word, a tag or a thing of ours is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from triggers.near_misses import near

if TYPE_CHECKING:
    from collections.abc import Iterable


def one_of(word: object, *, known: Iterable[str], field: str) -> str:
    """Return a word that is one of the known ones.

    Raises:
        InvalidRequest: it is none of them.
    """
    names = list(known)
    if isinstance(word, str) and word in names:
        return word
    raise InvalidRequest(f"{field} cannot be {word!r}.", hint=near(word, known=names))


def words(value: Any, *, field: str) -> list[str]:  # noqa: ANN401  a word or several
    """Return one text as a list of it, several as a list, None as an empty one.

    Raises:
        InvalidRequest: one of them is no text.
    """
    found = [value] if isinstance(value, str) else list(value or ())
    for word in found:
        if not isinstance(word, str):
            raise InvalidRequest(f"{field} holds {word!r}, which is no text.", hint="Give texts.")
    return found


def id_of(thing: Any, *, field: str) -> str:  # noqa: ANN401  whatever has an id
    """Return the id of a task, a dataset or an id itself.

    Raises:
        InvalidRequest: it has no id.
    """
    found = thing if isinstance(thing, str) else getattr(thing, "id", None)
    if isinstance(found, str) and found:
        return found
    raise InvalidRequest(f"{field} is neither an id nor has one: {thing!r}.", hint="Give a task, or its id.")


def as_tag(name: str) -> str:
    """Return a trigger's name as a tag that means it: without commas, not too long, and no template."""
    return name[: 128 - name.count("$")].replace(",", " ").replace("$", "$$")
