"""Files that an address names: what the steps of a chain are given to hand over what they made."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.errors import InvalidRequest
from orchestrator.sdk.artifacts import fetch
from orchestrator.sdk.models.model import Model
from orchestrator.sdk.session import cache_directory, session

_BLOB = re.compile(r"https?://.+/api/v1/blobs/(?P<digest>[a-z0-9]+:[0-9a-f]+)")
_MODEL = re.compile(r"https?://.+/api/v1/models/(?P<id>[0-9a-f]{32})")


class StorageManager:
    """Fetches what an address of the server names, such as `${steps.prepare.artifacts.table.url}` in a trigger."""

    @classmethod
    def get_local_copy(cls, remote_url: str) -> Path:
        """Return the path of a copy on this machine, downloaded where it is not here yet.

        Whatever host the address has, the server that this process speaks to is asked: inside an attempt there may be
        no network.

        Args:
            remote_url: address of an artifact or of a model version on the server; the path of a file is returned as
                it is, so that a script can be tried by hand.

        Raises:
            NotFound: the server has nothing of that kind.
            InvalidRequest: it is neither such an address nor the path of a file.
        """
        if blob := _BLOB.fullmatch(remote_url):
            return fetch(
                blob["digest"], filename="artifact", directory=cache_directory() / "artifacts", client=session.client()
            )
        if model := _MODEL.fullmatch(remote_url):
            return Model.get(model_id=model["id"]).get_local_copy()
        if "://" not in remote_url and Path(remote_url).is_file():
            return Path(remote_url)
        raise InvalidRequest(
            f"{remote_url!r} is no address of an artifact or a model, and no file, looked for from {Path.cwd()}.",
            hint="Triggers fill it in: ${steps.STEP.artifacts.NAME.url}. For files elsewhere use their own client.",
        )
