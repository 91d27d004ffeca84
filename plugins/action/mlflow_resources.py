# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's part of mlflow_resources: read declarations from files, write an export to one."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import declaration

SUFFIXES = (".yml", ".yaml", ".json")
#: Composes a file into nodes, which know their lines. The loader of libyaml is ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null"))


class ActionModule(ActionBase):
    """Reads ``src`` and writes ``dest``; the module does everything else."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, with the diff of ``dest``. Raises AnsibleActionFail for a file that is not a declaration."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source, target = arguments.pop("src", None), arguments.get("dest")
        inline = arguments.pop("declaration", None)
        if target and arguments.get("state") != "exported":
            raise AnsibleActionFail("dest: requires state: exported; leave it out, or set state: exported")
        given = {section: arguments.pop(section) for section in KINDS if arguments.get(section) is not None}
        self._refuse_duplicates_inline(self._task.args, inline, *given.values())
        joined = _Joined()
        joined.add("", given)
        if inline is not None:
            joined.add("declaration: ", inline)
        for path in self._files(str(source)) if source else []:
            joined.add(f"src: {path}: ", self._content(path))
        arguments.update(joined.sections)
        result: dict[str, Any] = self._execute_module(module_name="mlops.mlflow.mlflow_resources", module_args=arguments, task_vars=task_vars)
        if result.get("entry"):
            result["msg"] = joined.placed(result["entry"], result["msg"])
        if "resources" in result and not result.get("failed"):
            result["yaml"] = declaration.head(result.get("left_out", [])) + dump(result["resources"])
            if target:
                self._write(result, Path(self._loader.path_dwim(target)))
        return result

    def _files(self, source: str) -> list[Path]:
        """Return the file, or all files in the folder and its subfolders, sorted by name."""
        find: Any = self._find_needle
        try:
            found = Path(find("files", source))
        except AnsibleError:
            raise AnsibleActionFail(f"src: {source!r} does not exist; a relative path is searched for in files/ and next to the playbook") from None
        if not found.is_dir():
            return [found]
        files = sorted(path for path in found.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if not files:
            raise AnsibleActionFail(f"src: {source!r} contains no file that ends in {', '.join(SUFFIXES)}")
        return files

    def _content(self, path: Path) -> Any:
        try:
            text = self._loader.get_text_file_contents(str(path))
            root = _composed(text)
            for key, line in _duplicates(root, text):
                raise AnsibleActionFail(_twice(f"src: {path}", key, line))
            plain = _constructed(root) if _is_plain(root) else None
            return plain if plain is not None else self._loader.load(text, file_name=str(path))
        except AnsibleActionFail:
            raise
        except AnsibleError as error:
            raise AnsibleActionFail(f"src: {path} cannot be read: {error.message}") from None

    def _refuse_duplicates_inline(self, *values: Any) -> None:
        """Raise AnsibleActionFail if a dictionary in ``values`` has a duplicate key in the file it comes from.

        Ansible keeps the last one. Values whose file and line Ansible does not know are not checked.
        """
        for value in values:
            path, line, column = _origin(value)
            if not path or not Path(path).is_file():
                continue
            for key, there in duplicates(self._loader.get_text_file_contents(path), (line, column)):
                raise AnsibleActionFail(_twice(path, key, there))

    def _write(self, result: dict[str, Any], target: Path) -> None:
        """Write the export, unless the file already has this content."""
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


class _Joined:
    """The merged lists of all declarations of a task, and the source of each entry."""

    def __init__(self) -> None:
        self.sections: dict[str, list[Any]] = {}
        self._origins: dict[str, list[tuple[str, int]]] = {}

    def add(self, where: str, content: Any) -> None:
        """Add the lists of one declaration from ``where``. Raises AnsibleActionFail if it is not a declaration."""
        if content is None:
            return
        if not isinstance(content, Mapping):
            raise AnsibleActionFail(f"{where}this is not a declaration; give a dictionary of lists such as {', '.join(list(KINDS)[:2])}")
        for section, entries in content.items():
            if section not in KINDS:
                raise AnsibleActionFail(f"{where}{section!r} is not a list of a declaration; use {', '.join(KINDS)}")
            if entries is not None and not isinstance(entries, list):
                raise AnsibleActionFail(f"{where}{section!r} is not a list; start each entry with a dash")
            options = KINDS[section].rules.OPTIONS
            for number, entry in enumerate(entries or [], 1):
                problem = declaration.misfit(section, entry, options)
                if problem:
                    raise AnsibleActionFail(f"{where}{section}: {declaration.entry_title(entry, number, options)}: {problem}")
            self.sections.setdefault(section, []).extend(entries or [])
            self._origins.setdefault(section, []).append((where, len(entries or [])))

    def placed(self, entry: Mapping[str, Any], message: str) -> str:
        """Return ``message``, about an entry by its number in a merged list, prefixed with the entry's source."""
        number = entry["number"]
        for where, count in self._origins.get(entry["list"], []):
            if number <= count:
                return f"{where}{message}"
            number -= count
        return message


def _twice(where: str, key: str, line: int) -> str:
    place = f"{where}: line {line}" if line else where
    return f"{place}: {key!r} is given twice in one dictionary, and the first would be lost; merge the two, or remove one"


def duplicates(text: str, start: tuple[int, int] | None = None) -> Iterator[tuple[str, int]]:
    """Return each duplicate key in a dictionary of the YAML or JSON ``text``, and the line of the second, 0 if unknown.

    With ``start``, a line and a column, only those in the value that begins there.
    """
    return _duplicates(_composed(text), text, start)


def _composed(text: str) -> Any:
    """Return the YAML nodes of ``text``; None if it is JSON with tabs, or invalid."""
    try:
        return yaml.compose(text.encode(errors="surrogatepass"), Loader=_LOADER)
    except yaml.YAMLError:
        return None


def _is_plain(root: Any) -> bool:
    """Whether a YAML document is in block style, unlike JSON, and has only plain types: no vault, dates or merge keys."""
    if root is None or not isinstance(root, yaml.MappingNode) or root.flow_style:
        return False
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            return False
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value
    return True


def _constructed(root: Any) -> Any:
    """Return the values of a plain document without ansible-core's origin tags, which cost more than everything else; None if invalid."""
    try:
        return yaml.constructor.SafeConstructor().construct_document(root)
    except (yaml.YAMLError, ValueError):  # a list as a key, or a number with thousands of digits
        return None


def _duplicates(root: Any, text: str, start: tuple[int, int] | None = None) -> Iterator[tuple[str, int]]:
    if root is None:
        found: list[str] = []
        try:
            json.loads(text, object_pairs_hook=lambda pairs: found.extend(_repeated(key for key, _value in pairs)))
        except ValueError:
            return
        yield from ((key, 0) for key in found)
        return
    pending, seen = [root], set()
    is_inside = start is None
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if not is_inside and (node.start_mark.line + 1, node.start_mark.column + 1) == start:
            is_inside, pending = True, []
        if isinstance(node, yaml.MappingNode):
            if is_inside:
                keys = [(key.value, key.start_mark.line + 1) for key, _value in node.value if isinstance(key, yaml.ScalarNode)]
                repeated = set(_repeated(key for key, _line in keys if key != "<<"))
                lines = dict(keys)  # the last of each
                yield from ((key, lines[key]) for key in sorted(repeated, key=lambda key: lines[key]))
            pending += [value for _key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            pending += reversed(node.value)


def _repeated(keys: Any) -> list[str]:
    seen: set[str] = set()
    return [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def _origin(value: Any) -> tuple[str, int, int]:
    """Return the file, line and column where ansible-core found ``value``; an empty path if unknown."""
    for tag in getattr(value, "_ansible_tags_mapping", {}).values():
        if type(tag).__name__ == "Origin":
            return tag.path or "", tag.line_num or 0, tag.col_num or 0
    return "", 0, 0


class _Dumper(yaml.SafeDumper):
    """YAML as a person would write it: indented lists, and multi-line strings in block style."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML writes an unquoted NEL unchanged, but reads it as a line break.
    style = '"' if "\x85" in value else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(resources: Mapping[str, Any]) -> str:
    """``resources`` as a YAML document."""
    plain = {section: [dict(entry) for entry in entries] for section, entries in resources.items()}
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_start=True) if plain else "---\n{}\n"
