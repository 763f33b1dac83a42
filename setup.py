"""The page on a package index is README.md, whose links into the repository lead nowhere there: their texts stay."""

import re
from pathlib import Path

from setuptools import setup

README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?://)[^)]*\)")

setup(long_description=LINK.sub(r"\1", README), long_description_content_type="text/markdown")
