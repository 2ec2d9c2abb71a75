"""What a dataset is called, and which of its versions is the head."""

from __future__ import annotations

from sqlalchemy import delete, exists, select, update

from orchestrator.errors import AlreadyExists, HeadMoved, NotFound
from orchestrator.store.sql.tables import dataset_heads, dataset_versions, storage_choices
from orchestrator.store.sql.unit import Noun


class NameRows(Noun):
    """The part of `Datasets` that is about names and heads."""

    def head(self, *, project: str, name: str) -> str | None:
        """Return the id of the dataset's newest final version, or None."""
        column = dataset_heads.c
        head = self._unit.scalar(select(column.version_id).where(column.project == project, column.name == name))
        return None if head is None else str(head)

    def move_head(self, *, project: str, name: str, expected: str | None, to: str | None) -> None:
        """Set the dataset's head where it still is `expected`, else `HeadMoved`; None for none."""
        column = dataset_heads.c
        if expected is None:
            row = {"project": project, "name": name, "version_id": to}
            moved = (
                self.head(project=project, name=name) is None if to is None else self._unit.add_new(dataset_heads, row)
            )
        else:
            same = (column.project == project, column.name == name, column.version_id == expected)
            change = delete(dataset_heads) if to is None else update(dataset_heads).values(version_id=to)
            moved = self._unit.execute(change.where(*same)).rowcount == 1
        if not moved:
            raise HeadMoved(
                f"Another version of {project}/{name} was finalized first: {self.head(project=project, name=name)}.",
                hint="Begin a new version from that one and add your files to it.",
            )

    def rename(self, *, project: str, name: str, new_project: str, new_name: str) -> int:
        """Give all versions of a dataset, its head and its storage choice another name; return how many versions."""
        version, head, choice = dataset_versions.c, dataset_heads.c, storage_choices.c
        taken = exists().where(version.project == new_project, version.name == new_name)
        if self._unit.scalar(select(taken)):
            raise AlreadyExists(
                f"There is a dataset {new_project}/{new_name} already.",
                hint="Choose another name, or rename that one first.",
            )
        called = {"project": new_project, "name": new_name}
        here = (version.project == project, version.name == name)
        change = update(dataset_versions).where(*here).values(called | {"changed_at": self._unit.now()})
        count = self._unit.execute(change).rowcount
        if count == 0:
            raise NotFound(f"There is no dataset {project}/{name}.")
        heads = update(dataset_heads).where(head.project == project, head.name == name).values(called)
        self._unit.execute(heads)
        chosen = self._unit.scalar(select(choice.storage).where(choice.project == project, choice.dataset == name))
        if chosen is not None:
            self._unit.execute(delete(storage_choices).where(choice.project == project, choice.dataset == name))
            self._unit.put(storage_choices, [{"project": new_project, "dataset": new_name, "storage": chosen}])
        return count
