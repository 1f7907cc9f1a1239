"""A report as one page: the same sections in Markdown, and in HTML that needs no other file and runs no code.

Text from a table or a model is shown as text: HTML in it is escaped, and `quoted` keeps Markdown from reading
it.
"""

import base64
import logging
import re
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

STYLE = """
:root{--ink:#1b2a33;--line:#d7dee2;--soft:#f4f7f8;--accent:#1b4965}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);margin:0 auto;padding:1.5rem 2rem 5rem;max-width:1400px}
h1{font-size:1.7rem;margin:.2em 0 .6em} summary,h2{font-size:1.2rem;font-weight:650;color:var(--accent)}
section,details{border-top:1px solid var(--line);margin-top:1.4rem;padding-top:.9rem} summary{cursor:pointer}
.wide{overflow-x:auto} table{border-collapse:collapse;margin:.7rem 0;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .65rem;border-bottom:1px solid var(--line);vertical-align:top} th{background:var(--soft);text-align:left}
td{white-space:nowrap} th{white-space:normal;vertical-align:bottom} details td{white-space:normal;max-width:34rem}
tr:hover td{background:var(--soft)} img{max-width:100%} code,pre{background:var(--soft);font-size:13px}
pre{padding:.6rem .8rem;overflow-x:auto} nav a{margin-right:1rem;color:var(--accent)} li{margin:.2rem 0}
"""  # noqa: E501


@dataclass(frozen=True)
class Section:
    """A part of the page, in Markdown; pictures are files of the page's own folder. ``folded``: shown when
    it is clicked on.
    """

    title: str
    body: str
    folded: bool = False


def quote_text(text: str, longest: int = 400) -> str:
    """Foreign text for a cell of a table: one line, cut off, nothing in it read as Markdown."""
    line = " / ".join(part.strip() for part in str(text).strip().splitlines() if part.strip())
    line = line if len(line) <= longest else f"{line[:longest]} ..."
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", line)


def write_page(folder: Path, title: str, sections: list[Section]) -> None:
    """Write report.md and report.html into ``folder``, which holds the pictures."""
    text = "\n\n".join([f"# {title}", *(f"## {section.title}\n\n{section.body}" for section in sections)])
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")
    path = folder / "report.html"
    path.write_text(_render_html(folder, title, sections), encoding="utf-8")
    log.info("report written to %s", path)


def _render_html(folder: Path, title: str, sections: list[Section]) -> str:
    """The page, its pictures inside it."""
    from html import escape

    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    def embedded(found: re.Match[str]) -> str:
        return f'src="data:image/png;base64,{base64.b64encode((folder / found[1]).read_bytes()).decode()}"'

    parts, links = [], []
    for place, section in enumerate(sections):
        body = re.sub(r'src="([^"/:]+\.png)"', embedded, markdown.render(section.body))
        body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
        name = escape(section.title)
        links.append(f'<a href="#s{place}">{name}</a>')
        if section.folded:
            head, tag = f"<summary>{name}</summary>", "details"
        else:
            head, tag = f"<h2>{name}</h2>", "section"
        parts.append(f'<{tag} id="s{place}">{head}\n{body}</{tag}>')
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
    head += (
        f'<meta name="viewport"'
        f' content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    top = f"<h1>{escape(title)}</h1>\n<nav>{''.join(links)}</nav>"
    body = "\n".join([top, *parts])
    return f"<!doctype html>\n<html lang=en>\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n"
