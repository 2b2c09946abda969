"""The documentation's site: links lead somewhere, also out of docs/; what was tried is collected from the decisions.

`make docs` builds it; here is what its hooks do.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]


def load_hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


class Site:
    """Pages of a site by their place in it."""

    def __init__(self, *uris: str) -> None:
        self._uris = uris

    def get_file_from_path(self, uri: str) -> str | None:
        return uri if uri in self._uris else None


class Page:
    def __init__(self, uri: str) -> None:
        self.file = self
        self.src_uri = uri


def shown(markdown: str, uri: str, *pages: str) -> str:
    return hooks.on_page_markdown(markdown, Page(uri), None, Site(*pages))


def test_a_link_to_what_the_site_includes_leads_there():
    result = "benchmarks/results/demo_amd-epyc-2c_202612.md"
    assert shown(f"[x](../{result})", "measured.md", result) == f"[x]({result})"
    assert shown("[x](docs/faults.md#a)", "ARCHITECTURE.md", "faults.md") == "[x](faults.md#a)"
    assert shown(f"[x](../../{result})", "decisions/0025-idle-is-free.md", result) == f"[x](../{result})"
    assert shown("[all](decisions)", "start.md", "decisions/README.md") == "[all](decisions/README.md)"


def test_a_link_out_of_the_site_becomes_the_path_of_the_file():
    assert shown("[a file](../deploy/prometheus.yml)", "observing.md") == "a file (`deploy/prometheus.yml`)"
    assert shown("[deploy/](../deploy)", "observing.md") == "deploy/"


def test_a_link_to_nothing_ends_the_build():
    with pytest.raises(PluginError, match="not there"):
        shown("[x](../nowhere.md)", "observing.md")


def test_code_and_links_to_elsewhere_stay_as_they_are():
    for text in ("```sh\n[x](../nowhere.md)\n```", "[x](https://example.org/a)", "[x](#here)"):
        assert shown(text, "observing.md") == text


def test_what_was_tried_is_collected_with_the_decision_that_says_so():
    page = hooks.tried()
    assert "Declared publishers" in page
    assert "FastAPI brings pydantic for nothing here" in page
    assert page.count("[The decision]") >= 10
    assert "](../" not in page, "links read from where the page is"
    for target in re.findall(r"\]\((decisions/[^)#]+)", page):
        assert (ROOT / "docs" / target).exists()


def test_every_page_of_the_navigation_is_there():
    navigation = hooks._unfolded(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])

    def pages(item):
        if isinstance(item, str):
            yield item
        else:
            for each in item.values() if isinstance(item, dict) else item:
                yield from pages(each)

    listed = set(pages(navigation))
    assert listed >= {path.name for path in (ROOT / "docs").glob("*.md")} | {"tried.md"}
    assert all((ROOT / "docs" / page).exists() or (ROOT / page).exists() for page in listed - {"tried.md"})
    assert sum(page.startswith("decisions/") for page in listed) > 20
