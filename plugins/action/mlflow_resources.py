# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's part of mlflow_resources: read declarations from files, write an export to one."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils._resources import KINDS

SUFFIXES = (".yml", ".yaml", ".json")


class ActionModule(ActionBase):
    """Reads ``src`` and writes ``dest``; all else is the module's."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result, with the diff of ``dest``. Raises AnsibleActionFail for a file that is no declaration."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source, target = arguments.pop("src", None), arguments.get("dest")
        inline = arguments.pop("declaration", None)
        if target and arguments.get("state") != "exported":
            raise AnsibleActionFail("dest: is for state exported; leave it out, or set state: exported")
        if inline:
            _join(arguments, _sections("declaration", inline))
        for path in self._files(str(source)) if source else []:
            _join(arguments, _sections(f"src: {path}", self._content(path)))
        result: dict[str, Any] = self._execute_module(module_name="mlops.mlflow.mlflow_resources", module_args=arguments, task_vars=task_vars)
        if "resources" in result and not result.get("failed"):
            result["yaml"] = dump(result["resources"])
            if target:
                self._write(result, Path(self._loader.path_dwim(target)))
        return result

    def _files(self, source: str) -> list[Path]:
        """The file, or those of the folder and its folders, by name."""
        find: Any = self._find_needle
        try:
            found = Path(find("files", source))
        except AnsibleError:
            raise AnsibleActionFail(f"src: {source!r} is not there; a relative path is looked for in files/ and beside the playbook") from None
        if not found.is_dir():
            return [found]
        files = sorted(path for path in found.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if not files:
            raise AnsibleActionFail(f"src: {source!r} holds no file that ends in {', '.join(SUFFIXES)}")
        return files

    def _content(self, path: Path) -> Any:
        try:
            return self._loader.load_from_file(str(path))
        except AnsibleError as error:
            raise AnsibleActionFail(f"src: {path} cannot be read: {error.message}") from None

    def _write(self, result: dict[str, Any], target: Path) -> None:
        """Write the export, unless the file is that already."""
        after = result["yaml"]
        try:
            before = target.read_text(encoding="utf-8") if target.exists() else ""
            result["changed"] = before != after or not target.exists()
            result["diff"] = {"before_header": str(target), "after_header": str(target), "before": before, "after": after}
            if result["changed"] and not self._task.check_mode:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(after, encoding="utf-8")
        except OSError as error:
            raise AnsibleActionFail(f"dest: {target} cannot be written: {error.strerror}") from None


def _sections(where: str, content: Any) -> Iterator[tuple[str, list[Any]]]:
    """The lists of one declaration; ``where`` it stands."""
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise AnsibleActionFail(f"{where} is no declaration; its top level is a dictionary of lists such as {', '.join(list(KINDS)[:2])}")
    for section, entries in content.items():
        if section not in KINDS:
            raise AnsibleActionFail(f"{where}: {section!r} is no list of a declaration; use {', '.join(KINDS)}")
        if entries is not None and not isinstance(entries, list):
            raise AnsibleActionFail(f"{where}: {section!r} is not a list; begin each entry with a dash")
        yield section, entries or []


def _join(arguments: dict[str, Any], sections: Iterator[tuple[str, list[Any]]]) -> None:
    for section, entries in sections:
        arguments[section] = [*(arguments.get(section) or []), *entries]


class _Dumper(yaml.SafeDumper):
    """YAML as a person writes it: lists set in, texts of several lines as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(resources: Mapping[str, Any]) -> str:
    """``resources`` as a YAML document."""
    plain = {section: [dict(entry) for entry in entries] for section, entries in resources.items()}
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_start=True) if plain else "---\n{}\n"
