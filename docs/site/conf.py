"""Sphinx's configuration of the documentation site: ``make docs-site``."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GALAXY = yaml.safe_load((Path(__file__).resolve().parents[1] / "galaxy.yml").read_text())

project = "mlops.mlflow"
author = ", ".join(GALAXY["authors"])
copyright = author
version = release = GALAXY["version"]
html_title = f"mlops.mlflow {release}"

extensions = ["myst_parser", "sphinx_antsibull_ext", "sphinx_copybutton"]
exclude_patterns = ["site"]
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"source_repository": GALAXY["repository"], "top_of_page_buttons": []}
antsibull_ext_color_scheme = "default-autodark"

#: Ansible's own documentation, and where in it a label is that antsibull-docs refers to.
ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
PAGES = {
    "action_plugins": "plugins/action",
    "ansible_configuration_settings": "reference_appendices/config",
    "common_return_values": "reference_appendices/common_return_values",
}


def elsewhere(_app: Sphinx, _env: Any, node: nodes.Element, text: nodes.TextElement) -> nodes.reference | None:
    """A link to Ansible's documentation for a label that this site does not have; intersphinx would download its inventory in each build."""
    label = node.get("reftarget", "")
    plugin = label.removeprefix("ansible_collections.").partition("__")[0]
    page = PAGES.get(label) or (f"collections/{plugin.replace('.', '/', 2)}" if plugin != label and not plugin.startswith("mlops.") else None)
    return nodes.reference("", "", text, internal=False, refuri=f"{ANSIBLE}/{page}.html") if page else None


def setup(app: Sphinx) -> None:
    """Sphinx calls it."""
    app.connect("missing-reference", elsewhere)
