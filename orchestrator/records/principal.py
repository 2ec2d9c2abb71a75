"""Who acts, and what they may do."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.errors import Forbidden
from orchestrator.records.base import Id, Moment, Name, Record, inside


class Role(StrEnum):
    """What a principal may do, within its project path."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    ADMIN = "admin"
    AGENT = "agent"
    SCHEDULER = "scheduler"
    ATTEMPT = "attempt"


class Permission(StrEnum):
    """What a route or a service asks for."""

    READ = "read"
    OPERATE = "operate"  # enqueue, dequeue, stop, pause
    EDIT = "edit"  # make and change tasks, datasets, triggers
    FIRE = "fire"  # post firings
    CLAIM = "claim"  # take work
    ADMIN = "admin"  # tokens, queues


_PHRASES: dict[Permission, tuple[str, Role]] = {
    Permission.READ: ("read tasks and datasets", Role.VIEWER),
    Permission.OPERATE: ("enqueue and stop tasks", Role.OPERATOR),
    Permission.EDIT: ("make or change tasks, datasets and triggers", Role.EDITOR),
    Permission.FIRE: ("fire triggers", Role.SCHEDULER),
    Permission.CLAIM: ("take tasks from queues", Role.AGENT),
    Permission.ADMIN: ("administer tokens and queues", Role.ADMIN),
}
"""What a person calls it, and the least role that has it."""

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.OPERATE}),
    Role.EDITOR: frozenset({Permission.READ, Permission.OPERATE, Permission.EDIT, Permission.FIRE}),
    Role.ADMIN: frozenset(Permission),
    Role.AGENT: frozenset({Permission.CLAIM}),
    Role.SCHEDULER: frozenset({Permission.READ, Permission.FIRE}),
    # Those of whoever enqueued it, but never more than an editor's: `services.authenticate` lends them.
    Role.ATTEMPT: frozenset(),
}


class Principal(Record):
    """One token's bearer."""

    id: Id
    name: Name
    role: Role
    project: str = ""
    """The grant holds in this project and below; empty for all."""
    queues: tuple[str, ...] = ()
    """For agents: the queues that it may claim from; none named means all."""
    task_id: Id | None = None
    """For attempts: the task that it writes for."""
    attempt: int | None = None
    """For attempts: the fencing token."""
    lent_role: Role | None = None
    """For attempts: the role of whoever enqueued the task, at most editor."""
    created_at: Moment
    created_by: Id | None = None
    expires_at: Moment | None = None
    revoked_at: Moment | None = None

    def permissions(self) -> frozenset[Permission]:
        """Return what this principal may do inside its project path."""
        return PERMISSIONS[self.lent_role or self.role]

    def may(self, permission: Permission, project: str | None = None) -> bool:
        """Tell whether it may; without a project, whether it may anywhere."""
        return permission in self.permissions() and (project is None or inside(project, self.project))

    def require(self, permission: Permission, project: str | None = None) -> None:
        """Raise `Forbidden` unless it may."""
        if not self.may(permission, project):
            phrase, role = _PHRASES[permission]
            where = f" in project {project!r}" if project else ""
            raise Forbidden(
                f"{self.name!r} ({self.role}) may not {phrase}{where}.",
                hint=f"Ask an administrator for another token: retrain token create NAME --role {role}",
            )
