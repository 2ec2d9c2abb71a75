"""Giving a dataset another name, another project or both: all of its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.principal import Permission
from orchestrator.wire import Renamed

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import RenameDataset


def rename_dataset(transaction: Transaction, actor: Principal, *, body: RenameDataset) -> Renamed:
    """Rename or move a dataset; which storage was chosen for it goes with it.

    Raises:
        NotFound: it has no versions.
        Forbidden: the actor may not edit in both projects.
        AlreadyExists: the new name has versions.
        InvalidRequest: the new name is the old one.
    """
    project, name = body.new_project or body.project, body.new_name or body.name
    actor.require(Permission.EDIT, body.project)
    actor.require(Permission.EDIT, project)
    if (project, name) == (body.project, body.name):
        raise InvalidRequest(f"{body.name} in project {body.project} is called so already.")
    datasets = transaction.datasets
    of_it = datasets.find(
        project=body.project, exact_project=True, name=body.name, archived=None, deleted=True, limit=1
    )
    if not of_it:
        raise NotFound(
            f"There is no dataset {body.name} in project {body.project}.",
            hint=f"See what there is: retrain dataset list --project {body.project}",
        )
    count = datasets.rename(project=body.project, name=body.name, new_project=project, new_name=name)
    for choice in datasets.choices():
        if (choice.project, choice.dataset) == (body.project, body.name):
            datasets.drop_choice(project=body.project, dataset=body.name)
            datasets.put_choice(choice.changed(project=project, dataset=name))
    return Renamed(versions=count)
