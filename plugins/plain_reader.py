"""Reads Markdown, plain text and source code, and whatever else turns out to be text."""

from __future__ import annotations

import re

from ragd.hooks.api import Reader, ReadText, decode_text, hookimpl

MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"})
TEXT = frozenset({".txt", ".text", ".rst", ".org", ".adoc", ".asciidoc", ".tex", ".bib", ".log", ".srt", ".vtt", ""})
CODE = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript", ".vue": "vue", ".svelte": "svelte",
    ".rs": "rust", ".go": "go", ".java": "java", ".kt": "kotlin", ".kts": "kotlin", ".scala": "scala",
    ".groovy": "groovy", ".gradle": "groovy", ".clj": "clojure", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".hxx": "cpp", ".cu": "cpp", ".m": "objc", ".mm": "objc",
    ".cs": "csharp", ".fs": "fsharp", ".vb": "vb", ".swift": "swift", ".rb": "ruby", ".php": "php", ".pl": "perl",
    ".pm": "perl", ".lua": "lua", ".r": "r", ".jl": "julia", ".hs": "haskell", ".ml": "ocaml", ".ex": "elixir",
    ".exs": "elixir", ".erl": "erlang", ".dart": "dart", ".zig": "zig", ".nim": "nim", ".v": "verilog",
    ".sv": "verilog", ".vhd": "vhdl", ".f90": "fortran", ".f": "fortran", ".asm": "asm", ".s": "asm", ".lisp": "lisp",
    ".el": "lisp", ".scm": "scheme", ".sh": "bash", ".bash": "bash", ".zsh": "bash", ".fish": "fish",
    ".ps1": "powershell", ".bat": "batch", ".cmd": "batch", ".sql": "sql", ".toml": "toml", ".yaml": "yaml",
    ".yml": "yaml", ".ini": "ini", ".cfg": "ini", ".conf": "ini", ".properties": "ini", ".env": "ini", ".xml": "xml",
    ".xsl": "xml", ".xsd": "xml", ".svg": "xml", ".css": "css", ".scss": "css", ".less": "css", ".proto": "proto",
    ".graphql": "graphql", ".tf": "hcl", ".hcl": "hcl", ".nix": "nix", ".cmake": "cmake", ".mk": "make",
    ".dockerfile": "dockerfile", ".patch": "diff", ".diff": "diff", ".service": "ini",
}  # fmt: skip
_SHEBANGS = {"python": "python", "bash": "bash", "sh": "bash", "node": "javascript", "perl": "perl", "ruby": "ruby"}
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LINE = re.compile(r"^ {0,3}(?:#[ \t]+([^\n]+?)(?:[ \t]+#+)?|(`{3,}|~{3,})([^\n]*?))[ \t]*$", re.MULTILINE)
_SHEBANG = re.compile(r"\A#!\S*?/?(?:env[ \t]+(?:-\S+[ \t]+)*)?([A-Za-z]+)[\d.]*(?:[ \t].*)?$", re.MULTILINE)


class PlainReader:
    """Text as it is: the form (and so the splitter) is told by the suffix, or by a first line `#!...`."""

    name = "plain"
    version = "1"
    suffixes = MARKDOWN | TEXT | frozenset(CODE)

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The decoded text; the title is that of the front matter or the first top heading of Markdown."""
        text = decode_text(data)
        if suffix in MARKDOWN:
            return ReadText(text=text, title=markdown_title(text), form="markdown")
        language = CODE.get(suffix) or (shebang_language(text) if suffix == "" else "")
        return ReadText(text=text, form=f"code:{language}" if language else "text")


def markdown_title(text: str) -> str:
    """The title in YAML front matter, else the first `# heading` outside code, else ""."""
    front = _FRONT_MATTER.match(text)
    if front:
        named = _FRONT_TITLE.search(front[1])
        if named:
            return named[1].strip("\"'").strip()
    fence = ""
    for line in _LINE.finditer(text, front.end() if front else 0):
        heading, mark, info = line.groups()
        if heading and not fence:
            return str(heading).strip()
        if mark and not fence:
            fence = mark
        elif mark and mark.startswith(fence) and not info:
            fence = ""
    return ""


def shebang_language(text: str) -> str:
    """The language that a script's first line names, "" when it names none that is known."""
    line = _SHEBANG.match(text)
    program = line[1] if line else ""
    return _SHEBANGS.get(program, "")


@hookimpl
def ragd_readers() -> list[Reader]:
    """The reader of everything that is text."""
    return [PlainReader()]
