"""Pages from outside docs/: notebooks, reports and notes, with the links between them.

MkDocs calls the functions here. Links are written as they hold in the repository, so that
they also work where its files are read.
"""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/NOTES.md",
    "deploy/*",
    "models/README.md",
    "models/custom_cnn/README.md",
    "models/efficientnet_lite0/README.md",
    "notebooks/*.ipynb",
    "reports/**/*.csv",
    "reports/**/*.jpg",
    "reports/**/*.json",
    "reports/**/*.md",
    "reports/**/*.png",
)
"""Files of the repository that become part of the pages, at the same paths."""

_MARKDOWN_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)")
_BADGE = re.compile(r'<p><a href="https://colab[^>]*><img [^>]*></a>.*?</p>', re.S)
_HTML_LINK = re.compile(r'(?<= href=")(?!\w+:)([^"#]+)')

logger = logging.getLogger("mkdocs.hooks.outside")


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files, config):
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown, page, config, files):
    def lead(match):
        target = _target(match[1], page, files)
        folder = posixpath.dirname(page.file.src_uri) or "."
        return posixpath.relpath(target.src_uri, folder) if target else match[1]

    return _MARKDOWN_LINK.sub(lead, markdown)


def on_page_content(html, page, config, files):
    """Lead links of notebooks, which MkDocs does not check, to pages; leave out badges."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def lead(match):
        if target := _target(match[1], page, files):
            return target.url_relative_to(page.file)
        logger.warning("%s links to %s, which is no page", page.file.src_uri, match[1])
        return match[1]

    return _HTML_LINK.sub(lead, _BADGE.sub("", html))


def _target(link, page, files):
    """Return the file that a link of the repository leads to, `None` if it is no part of this."""
    here = Path(page.file.abs_src_path).parent.relative_to(ROOT).as_posix()
    return files.get_file_from_path(
        posixpath.normpath(posixpath.join(here, link)).removeprefix("docs/")
    )
