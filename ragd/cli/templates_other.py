"""Small plugins around documents and events, with their tests: a reader, an encoder, a listener, a command."""

READER = '''
"""Reads logs of key=value lines as a Markdown list."""

from ragd.hooks.api import ReadFailed, ReadText, decode_text, hookimpl


class Reader:
    name, version, suffixes = "NAME", "1", frozenset({".kv"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        lines = [line.partition("=") for line in decode_text(data).splitlines() if "=" in line]
        if not lines:
            raise ReadFailed("no key=value lines in it", hint="exclude it")
        return ReadText(text="".join(f"- {key.strip()}: {value.strip()}\\n" for key, _, value in lines))


@hookimpl
def ragd_readers():
    return [Reader()]
'''
READER_TEST = '''
"""The reader keeps every promise that ragd asks of one."""

from pathlib import Path

from ragd.testing import check_reader, load_plugin

(READER,) = load_plugin(Path(__file__).with_name("NAME.py")).readers()


def test_it_keeps_the_contract():
    check_reader(READER, {".kv": b"colour = red\\nheight=7\\n"})


def test_it_reads_keys_and_values():
    assert READER.read(b"colour = red\\n", ".kv").text == "- colour: red\\n"
'''
ENCODER = '''
"""An encoder that needs no model: a hashed bag of words; quick, and blind to meaning."""

import zlib

import numpy as np

from ragd.hooks.api import EmbeddingSpace, hookimpl


class Encoder:
    def __init__(self, dimension: int) -> None:
        self.space = EmbeddingSpace(f"{zlib.crc32(b'NAME 1'):08x}{dimension:08x}", dimension, "NAME", 100_000)

    def encode(self, texts):
        vectors = np.zeros((len(texts), self.space.dimension), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            vector[0] = 0.1
            for word in text.lower().split():
                vector[zlib.crc32(word.encode()) % self.space.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_query(self, text):
        return self.encode([text])[0]

    def close(self):
        pass


class Kind:
    name = "NAME"

    def open(self, spec, models):
        return Encoder(spec.dimension or 256)


@hookimpl
def ragd_encoders():
    return [Kind()]
'''
ENCODER_TEST = '''
"""The kind of encoder keeps every promise that ragd asks of one."""

from pathlib import Path

from ragd.hooks.api import EncoderSpec
from ragd.testing import check_encoder_kind, load_plugin

(KIND,) = load_plugin(Path(__file__).with_name("NAME.py")).encoders()


def test_it_keeps_the_contract(tmp_path):
    check_encoder_kind(KIND, EncoderSpec(kind="NAME"), tmp_path)
'''
EVENTS = '''
"""Writes a line for every model that goes live or is rolled back."""

from ragd.hooks.api import Event, EventKind, hookimpl


@hookimpl
def ragd_event(event: Event) -> None:
    if event.kind in (EventKind.PROMOTED, EventKind.ROLLED_BACK):
        with open("NAME.txt", "a", encoding="utf-8") as file:
            file.write(f"{event.at:.0f} {event.kind} {dict(event.facts)}\\n")
'''
EVENTS_TEST = '''
"""The plugin writes what it is told of."""

from pathlib import Path

from ragd.hooks.api import Event, EventKind
from ragd.testing import load_plugin

PLUGINS = load_plugin(Path(__file__).with_name("NAME.py"))


def test_it_notes_promotions_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PLUGINS.tell(Event(EventKind.INDEXED, 1.0, {"documents": 3}))
    PLUGINS.tell(Event(EventKind.PROMOTED, 2.0, {"model": "query_adapter 4"}))
    assert Path("NAME.txt").read_text() == "2 promoted {'model': 'query_adapter 4'}\\n"
'''
COMMAND = '''
"""Adds a command that counts the words of texts."""

import typer

from ragd.hooks.api import hookimpl


def NAME(texts: list[str]) -> None:
    """Count the words of each text."""
    for text in texts:
        typer.echo(len(text.split()))


@hookimpl
def ragd_commands():
    return {"DASHED": NAME}
'''
COMMAND_TEST = '''
"""The command does what it says."""

from pathlib import Path

from ragd.testing import load_plugin

COMMANDS = load_plugin(Path(__file__).with_name("NAME.py")).commands()


def test_it_counts_words(capsys):
    COMMANDS["DASHED"](["one two", "three"])
    assert capsys.readouterr().out == "2\\n1\\n"
'''
