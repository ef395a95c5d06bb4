"""MkDocs hook: pages that are made from the repository, so that nothing is written twice.

- A page per room of the package, with the names that it exports (`api/`).
- CONTRIBUTING.md, CHANGELOG.md and the cards of the bundled models, as they are.
- A line that is nothing but a link to a section of the README is replaced by that section; a link to the
  README itself by its top.
- Files of the repository that a page links to, figures and notebooks say, come with the site; a folder gets a
  list of its files.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Page of the site <- file of the repository, where they are not called alike.
RENAMED = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
WHOLE = ("contributing.md", "changelog.md")

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]*)(?:#([^)\s]*))?(?=\))")
_README = re.compile(r"^\[[^\]]*\]\(\.\./README\.md(?:#([^)]*))?\)$", re.MULTILINE)
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages that nobody lists by hand to the navigation."""
    api = [{f"molig.{room}" if room else "molig": page} for room, page in rooms().items()]
    cards = [{PurePosixPath(card).parent.name: card} for card in model_cards()]
    nav = list(config.nav or [])
    end = next(i for i, entry in enumerate(nav) if "Contributing" in entry)
    config.nav = [*nav[:end], {"API": api}, {"Models": cards}, *nav[end:]]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages, and whatever pages link to."""
    for room, page in rooms().items():
        files.append(File.generated(config, page, content=api_page(room)))
    for page in (*WHOLE, *model_cards()):
        files.append(File.generated(config, page, content=(ROOT / repository_path(page)).read_text()))
    waiting = [file.src_uri for file in files.documentation_pages() if not file.src_uri.startswith("api/")]
    while waiting:
        for path in linked_files(waiting.pop()):
            target = site_path(path)
            if files.get_file_from_path(target) is not None:
                continue
            if (ROOT / path).is_dir():
                files.append(File.generated(config, target, content=listing(path)))
            elif path.endswith(".md"):
                files.append(File.generated(config, target, content=(ROOT / path).read_text()))
            else:
                files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
                continue
            waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert sections of the README, and let links lead to where the site has the file."""
    source = repository_path(page.file.src_uri)
    return outside_code(markdown, lambda text: rewritten(text, source, page.file.src_uri))


@cache
def rooms() -> dict[str, str]:
    """Packages that export names, "" for molig itself, and their pages."""
    names = ["", *sorted(path.parent.name for path in (ROOT / "molig").glob("*/__init__.py"))]
    return {name: f"api/{name or 'molig'}.md" for name in names if exported(name)}


def exported(room: str) -> list[str]:
    """`__all__` of a room, without running it."""
    tree = ast.parse((ROOT / "molig" / room / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            return [name for name in ast.literal_eval(node.value) if not name.startswith("__")]
    return []


def api_page(room: str) -> str:
    """Text of a room, then what it exports."""
    module = f"molig.{room}" if room else "molig"
    blocks = [f"# {module}", f"::: {module}\n    options: {{members: false, show_root_heading: false}}"]
    blocks += [f"::: {module}.{name}" for name in exported(room)]
    return "\n\n".join(blocks) + "\n"


@cache
def model_cards() -> list[str]:
    """Cards of the bundled models."""
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "models").glob("*/CARD.md"))]


def repository_path(page: str) -> str:
    """File of the repository that a page of the site is made from."""
    if page in RENAMED and not (ROOT / "docs" / page).exists():
        return RENAMED[page]
    return f"docs/{page}" if (ROOT / "docs" / page).exists() else page


def site_path(path: str) -> str:
    """Where the site has a file of the repository; the opposite of `repository_path`."""
    known = {source: page for page, source in RENAMED.items()}
    if path in known:
        return known[path]
    path = path.removeprefix("docs/")
    return f"{path}/index.md" if (ROOT / path).is_dir() or (ROOT / "docs" / path).is_dir() else path


def linked_files(page: str) -> Iterator[str]:
    """Existing files and folders of the repository that a page links to."""
    path = ROOT / repository_path(page)
    if not path.is_file():
        return
    texts = [(path.read_text(), repository_path(page))]
    texts += [(section(anchor), "README.md") for anchor in _README.findall(texts[0][0])]
    for text, source in texts:
        for match in _LINK.finditer(_FENCED.sub("", text)):
            target = link_target(match, source)
            if target is not None:
                yield target


def rewritten(text: str, source: str, page: str) -> str:
    """Text of a file of the repository as it reads on a page of the site."""
    text = _README.sub(lambda match: moved_links(section(match[1]), "README.md", page), text)
    return moved_links(text, source, page)


def moved_links(text: str, source: str, page: str) -> str:
    """Let relative links from `source` lead to the same files from `page`."""

    def moved(match: re.Match[str]) -> str:
        target, anchor = link_target(match, source), match[2]
        if target is None:
            return match[0]
        place = site_path(target)
        if target == "README.md" and anchor:
            place = page_of_readme(anchor)
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + (f"#{anchor}" if anchor else "")

    return _LINK.sub(moved, text)


def link_target(link: re.Match[str], source: str) -> str | None:
    """File or folder of the repository that a link in `source` leads to."""
    if not link[1]:
        return source
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
    return target if not target.startswith("..") and (ROOT / target).exists() else None


@cache
def page_of_readme(anchor: str) -> str:
    """Page of the site that has the section of the README with this heading."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        for inserted in _README.findall(path.read_text()):
            headings = re.findall(r"^#+ (.*)$", section(inserted), re.MULTILINE)
            if anchor in map(slug, headings):
                return path.name
    raise PluginError(f"no page of the site takes the section #{anchor} of README.md")


def section(anchor: str | None) -> str:
    """Section of the README that GitHub links to by `anchor`; its top without."""
    top, *sections = re.split(r"^(?=## )", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    if not anchor:
        return top
    by_anchor = {slug(text.split("\n", 1)[0].removeprefix("## ")): text for text in sections}
    if anchor not in by_anchor:
        raise PluginError(f"README.md has no section #{anchor}; it has {', '.join(by_anchor)}")
    return by_anchor[anchor]


def slug(title: str) -> str:
    """Name of a heading in links."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def listing(folder: str) -> str:
    """List of the files of a folder."""
    inside = sorted(path for path in (ROOT / folder).iterdir() if not path.name.startswith("."))
    links = [(path.name, f"{path.name}/index.md" if path.is_dir() else path.name) for path in inside]
    return f"# {folder}\n\n" + "".join(f"- [{name}]({target})\n" for name, target in links)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change a text but for its fenced code."""
    return "".join(part if part.startswith("```") else change(part) for part in _FENCED.split(text))
