"""The site's navigation leads to every page of documentation. `make site`, which .ci/run does, checks links besides."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

SITE = Path(__file__).parents[2] / "packaging" / "site"


def test_every_page_is_in_the_sites_navigation() -> None:
    spec = importlib.util.spec_from_file_location("site_build", SITE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    config = build._with_directories((SITE / "mkdocs.yml").read_text(encoding="utf-8"), build.pages())
    listed = re.findall(r"[-:] (\S+\.md)$", config, re.MULTILINE)
    assert sorted(listed) == sorted(map(str, build.pages()))
