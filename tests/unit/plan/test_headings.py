"""Headings are found by CommonMark's rules, and a place knows which it stands under."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragd.plan.headings import Outline, headings, shortened

BOOK = """\
# Book

intro

## One *bold* [link](http://x)

```sh
# not a heading
```

Two
---

~~~
## neither
~~~

#### Deep ####

    # code

#no heading either

| a |
|---|

- item
---
"""


def test_only_headings_count() -> None:
    assert [(h.level, h.text) for h in headings(BOOK)] == [(1, "Book"), (2, "One bold link"), (2, "Two"), (4, "Deep")]


def test_front_matter_is_no_heading() -> None:
    assert [h.text for h in headings("---\ntitle: x\n---\n\n# Real\n")] == ["Real"]


def test_a_place_stands_under_its_headings() -> None:
    outline = Outline(BOOK, "Book")
    assert outline.path(BOOK.index("intro")) == ("Book",)
    assert outline.path(BOOK.index("# not")) == ("Book", "One bold link")
    assert outline.path(len(BOOK)) == ("Book", "Two", "Deep")


def test_the_title_is_not_repeated() -> None:
    assert Outline("# Guide\n\ntext", "guide").path(9) == ("Guide",)
    assert Outline("## Part\n\ntext", "Guide").path(9) == ("Guide", "Part")
    assert Outline("no headings", "Guide").path(3) == ("Guide",)
    assert Outline("no headings").path(3) == ()


@given(st.lists(st.text(st.characters(categories=("L", "Zs")), min_size=1, max_size=80), max_size=7))
def test_a_path_is_cut_to_its_limit(path: list[str]) -> None:
    line = shortened(tuple(path), 120)
    assert len(line) <= 120
    if len(" > ".join(path)) <= 120:
        assert line == " > ".join(path)


def test_a_long_path_loses_its_middle_first() -> None:
    path = ("Book", "a" * 60, "b" * 60, "Section")
    assert shortened(path, 80).startswith("Book > ")
    assert shortened(path, 80).endswith(" > Section")
