"""What is installed in the interpreter that runs: the whole list, because an import scan sees a fraction of it."""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.capture.remotes import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OURSELVES = "retrain-orchestrator"
"""Left out of the list: an agent brings the SDK of its own version."""


def capture_packages() -> dict[str, Any]:
    """Return what is installed in the shape of `orchestrator.records.source.Packages`."""
    installed = _installed()
    return {
        "python": sys.version.split()[0].rstrip("+"),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "distributions": [recorded for name, (_, recorded) in sorted(installed.items()) if name != OURSELVES],
        "imported": [name for name in _imported(installed) if _normalised(name) != OURSELVES],
        **package_indexes(os.environ),
    }


def package_indexes(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the package indexes that pip and uv are told to use: `index_urls` and `default_index` of the record.

    The URLs come in order of preference, without credentials. One that replaces the default comes last.

    Args:
        environment: variables; the settings of uv, then those of pip, then pip's configuration files.
    """
    files = list(_pip_settings(environment))
    pip_main = environment.get("PIP_INDEX_URL") or next((main for main, _ in reversed(files) if main), "")
    pip_extra = environment.get("PIP_EXTRA_INDEX_URL") or next((extra for _, extra in reversed(files) if extra), "")
    main = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL") or pip_main
    further = (environment.get("UV_INDEX", ""), environment.get("UV_EXTRA_INDEX_URL", ""), pip_extra)
    # uv lets an index be named: `internal=https://…`.
    found = [re.sub(r"^[\w.-]+=(?=\w+://)", "", word) for words in (*further, main) for word in words.split()]
    return {"index_urls": list(dict.fromkeys(without_credentials(url) for url in found)), "default_index": not main}


def _installed() -> dict[str, tuple[metadata.Distribution, dict[str, Any]]]:
    """Return every distribution with its record, by normalised name; of two, the one that is imported counts."""
    found: dict[str, tuple[metadata.Distribution, dict[str, Any]]] = {}
    for distribution in metadata.distributions():
        recorded = _recorded(distribution)
        if recorded is not None:
            found.setdefault(_normalised(recorded["name"]), (distribution, recorded))
    return found


def _recorded(distribution: metadata.Distribution) -> dict[str, Any] | None:
    """Return the record of one distribution; None for what an interrupted uninstall left behind.

    The headers are read by hand: parsing a hundred long descriptions takes longer than all the rest.
    """
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    headers = dict(re.findall(r"^(Name|Version): *(.+?)\s*$", text.partition("\n\n")[0], re.MULTILINE))
    if headers.keys() != {"Name", "Version"}:
        return None
    recorded: dict[str, Any] = {"name": headers["Name"], "version": headers["Version"], "url": None, "editable": False}
    if direct := distribution.read_text("direct_url.json"):
        recorded |= _direct(json.loads(direct))
    elif distribution.read_text("METADATA") is None and not _is_site(distribution):
        # Metadata that lies beside the source is that of `setup.py develop`, whose installs say no more.
        recorded |= {"url": Path(str(distribution.locate_file(""))).resolve().as_uri(), "editable": True}
    return recorded


def _direct(origin: dict[str, Any]) -> dict[str, Any]:
    """Read the origin of an install that came from no index (direct_url.json, PEP 610) as pip would be given it."""
    url = without_credentials(origin["url"])
    if version_control := origin.get("vcs_info"):
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    if folder := origin.get("subdirectory"):
        url += f"#subdirectory={folder}"
    return {"url": url, "editable": bool(origin.get("dir_info", {}).get("editable"))}


def _imported(installed: Mapping[str, tuple[metadata.Distribution, dict[str, Any]]]) -> list[str]:
    """Return the names of the distributions that the script has imported so far."""
    modules = {name.partition(".")[0] for name in tuple(sys.modules)} - sys.stdlib_module_names
    modules = {name for name in modules if not name.startswith("_") and _is_from_site(name)}
    found = {name for name in installed if name.replace("-", "_") in modules}
    unexplained = modules - {name.replace("-", "_") for name in found}
    for name, (distribution, _) in installed.items():
        if not unexplained:
            break
        if name not in found and (explained := unexplained & _top_levels(distribution, unexplained)):
            found.add(name)
            unexplained -= explained
    return sorted(installed[name][1]["name"] for name in found)


def _top_levels(distribution: metadata.Distribution, wanted: Iterable[str]) -> set[str]:
    """Return which of the wanted modules a distribution holds; its list of files is searched, not parsed."""
    if declared := distribution.read_text("top_level.txt"):
        return set(declared.split())
    files = "\n" + (distribution.read_text("RECORD") or "")
    return {name for name in wanted if f"\n{name}/" in files or f"\n{name}.py," in files}


def _is_from_site(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and file.startswith(_site_folders())


def _is_site(distribution: metadata.Distribution) -> bool:
    return str(distribution.locate_file("")).startswith(_site_folders())


def _site_folders() -> tuple[str, ...]:
    """Return the folders on the path where installers put things."""
    names = ("site-packages", "dist-packages")
    return tuple(folder for folder in sys.path if folder.rstrip("/").endswith(names))


def _pip_settings(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield index and extra indexes of pip's configuration files, the strongest last."""
    home = Path(environment.get("HOME", "~")).expanduser()
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    named = environment.get("PIP_CONFIG_FILE")
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user, Path(sys.prefix) / "pip.conf"]
    if named == os.devnull:  # pip's way of saying: none of them
        files = []
    elif named:
        files.append(Path(named))
    for path in files:
        settings = configparser.RawConfigParser(strict=False)
        try:
            settings.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip itself says so when it is used
        for section in ("global", "install"):
            yield settings.get(section, "index-url", fallback=""), settings.get(section, "extra-index-url", fallback="")


def _normalised(name: str) -> str:
    """Return the name by which indexes know a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
