"""Layers, origins and every complaint of the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from ragd.config.load import Loaded, load
from ragd.config.origin import Layer
from ragd.domain.errors import ConfigInvalid


def given(
    tmp_path: Path, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """Loads a file with this text from a folder of its own, with a home that is not the reader's."""
    home = {"HOME": str(tmp_path / "home")}
    if text:
        (tmp_path / "ragd.toml").write_text(text)
    return load(None, home | dict(env or {}), flags or {}, cwd=tmp_path)


def complaint(
    tmp_path: Path, text: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> str:
    """What load says about these, which must be wrong."""
    with pytest.raises(ConfigInvalid) as caught:
        given(tmp_path, text, env, flags)
    assert caught.value.hint
    return str(caught.value)


def test_without_anything_every_value_is_a_default(tmp_path: Path) -> None:
    loaded = given(tmp_path)
    assert {origin.layer for origin in loaded.origins.values()} == {Layer.DEFAULT}
    assert loaded.config.state == tmp_path / "home/.local/state/ragd"
    assert loaded.config.socket_path == loaded.config.state / "ragd.sock"
    assert loaded.file is None


def test_the_state_folder_follows_xdg_state_home(tmp_path: Path) -> None:
    assert given(tmp_path, env={"XDG_STATE_HOME": "/var/x"}).config.state == Path("/var/x/ragd")


def test_an_empty_state_means_the_default(tmp_path: Path) -> None:
    loaded = given(tmp_path, 'state = ""')
    assert loaded.config.state == tmp_path / "home/.local/state/ragd"
    assert str(loaded.origins["state"]) == "default"


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    text = "[workers]\nextract = 2\nembed = 2\nnice = 2\n"
    env = {"RAGD_WORKERS__EMBED": "3", "RAGD_WORKERS__NICE": "3"}
    loaded = given(tmp_path, text, env, {"workers.embed": 4})
    assert (loaded.config.workers.extract, loaded.config.workers.nice, loaded.config.workers.embed) == (2, 3, 4)
    assert loaded.config.index.nprobe == 16
    origins = {name: str(origin) for name, origin in loaded.origins.items()}
    assert origins["workers.extract"] == f"{tmp_path}/ragd.toml:2"
    assert origins["workers.nice"] == "RAGD_WORKERS__NICE"
    assert origins["workers.embed"] == "--embed-workers"
    assert origins["index.nprobe"] == "default"


def test_files_are_looked_for_in_order(tmp_path: Path) -> None:
    user = tmp_path / "xdg/ragd/ragd.toml"
    user.parent.mkdir(parents=True)
    user.write_text("[search]\nlimit = 3\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert given(tmp_path, env=env).file == user
    assert given(tmp_path, "[search]\nlimit = 4\n", env).config.search.limit == 4
    other = tmp_path / "other.toml"
    other.write_text("[search]\nlimit = 5\n")
    assert given(tmp_path, "", env | {"RAGD_CONFIG": "other.toml"}).config.search.limit == 5
    named = tmp_path / "named.toml"
    named.write_text("[search]\nlimit = 6\n")
    assert load(named, env | {"RAGD_CONFIG": str(other)}, {}, cwd=tmp_path).config.search.limit == 6


def test_a_named_file_that_is_missing_is_an_error_that_says_who_named_it(tmp_path: Path) -> None:
    assert complaint(tmp_path, env={"RAGD_CONFIG": "nowhere.toml"}).startswith("RAGD_CONFIG: there is no file")
    with pytest.raises(ConfigInvalid, match="--config: there is no file"):
        load(Path("nowhere.toml"), {}, {}, cwd=tmp_path)


def test_relative_paths_in_a_file_are_relative_to_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "ragd.toml"
    file.write_text(
        'state = "state"\n[[collections]]\nname = "a"\nfolders = ["../docs", "~/notes"]\n'
        '[embed]\nmodel = "./minilm"\n[redis]\nserver = "redis-server"\n'
    )
    config = load(file, {"HOME": "/home/ada"}, {}, cwd=tmp_path).config
    assert config.state == folder / "state"
    assert config.collections[0].folders == (tmp_path / "docs", Path("/home/ada/notes"))
    assert config.embed.model == str(folder / "minilm")
    assert config.redis.server == "redis-server"


def test_relative_paths_in_variables_and_flags_are_relative_to_the_current_folder(tmp_path: Path) -> None:
    flags: dict[str, object] = {"collections": [{"name": "default", "folders": [Path("docs")]}]}
    config = given(tmp_path, env={"RAGD_STATE": "st"}, flags=flags).config
    assert config.state == tmp_path / "st"
    assert config.collections[0].folders == (tmp_path / "docs",)


def test_collections_can_come_from_a_variable_as_json(tmp_path: Path) -> None:
    loaded = given(tmp_path, env={"RAGD_COLLECTIONS": '[{"name": "a", "folders": ["x"], "exclude": ["*.log"]}]'})
    assert loaded.config.collections[0].exclude == ("*.log",)
    assert str(loaded.origins["collections"]) == "RAGD_COLLECTIONS"
    assert complaint(tmp_path, env={"RAGD_COLLECTIONS": "docs"}).startswith("RAGD_COLLECTIONS: not JSON")


def test_a_number_of_thousands_of_digits_is_one_line_like_any_mistake(tmp_path: Path) -> None:
    digits = "1" * 5000
    assert complaint(tmp_path, env={"RAGD_COLLECTIONS": digits}).startswith("RAGD_COLLECTIONS: not JSON")
    assert "ragd.toml: " in complaint(tmp_path, f"[watch]\nrescan_s = {digits}\n")


@pytest.mark.parametrize("key", ["redis.url", "embed.url"])
def test_an_address_that_is_none_is_told_what_one_looks_like(tmp_path: Path, key: str) -> None:
    section, leaf = key.split(".")
    told = complaint(tmp_path, f'[{section}]\n{leaf} = "http://[::1"\n')
    assert f"{key} = " in told
    assert "give an address that begins with" in told


def test_an_empty_variable_is_not_set_where_empty_is_no_value(tmp_path: Path) -> None:
    loaded = given(tmp_path, '[redis]\nurl = "redis://h"\n', {"RAGD_WORKERS__EMBED": "", "RAGD_REDIS__URL": ""})
    assert loaded.config.workers.embed == 1
    assert loaded.config.redis.url == ""
    assert str(loaded.origins["redis.url"]) == "RAGD_REDIS__URL"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colections = 1", "ragd.toml:1: unknown key colections; did you mean collections?"),
        ("[embed]\nthreds = 2", "ragd.toml:2: unknown key embed.threds; did you mean embed.threads?"),
        ("[embde]\nthreads = 2", "ragd.toml:1: unknown key embde; did you mean embed?"),
        ("[embed]\nnprobe = 2", "ragd.toml:2: unknown key embed.nprobe; did you mean index.nprobe?"),
        ("[log]\nzzzzzz = 2", "ragd.toml:2: unknown key log.zzzzzz; `ragd config show` lists every key"),
        ('[search]\nlimit = "10"', 'search.limit = "10" is not accepted; give a whole number from 1 to 1,000'),
        ("[search]\nlimit = true", "search.limit = true is not accepted; give a whole number"),
        ("[search]\nlimit = 0", "search.limit = 0 is not accepted; give a whole number from 1 to 1,000"),
        ("[search]\nlimit = 2.5", "search.limit = 2.5 is not accepted; give a whole number"),
        ("[watch]\nsettle_s = nan", "watch.settle_s = NaN is not accepted; give a number"),
        ('[embed]\nprecision = "fp8"', 'embed.precision = "fp8" is not accepted; give "fp32" or "int8"'),
        ("[embed]\nmodel = 3", "embed.model = 3 is not accepted; give text"),
        ("embed = 3", "embed is a section; write [embed] and its keys below"),
        ("collections = 3", "collections = 3 is not accepted; give a list of tables"),
        ('[[collections]]\nname = "a"', "collections[0].folders is missing; give a list of paths, at least one"),
        ('[[collections]]\nname = "a"\nfolders = []', "collections[0].folders = [] is not accepted"),
        ('[[collections]]\nname = "a b"\nfolders = ["x"]', 'collections[0].name = "a b" is not accepted'),
        (
            '[[collections]]\nname = "a"\nfolders = ["x"]\nfolder = 1',
            "unknown key collections[0].folder; did you mean folders?",
        ),
        ('[http]\ntcp = "ragd.example:80"', "give an address by number and a port"),
        ('[http]\nhosts = ["*.example"]', "give names without a port or a pattern"),
        ('[http]\nhosts = ["ragd.example:80"]', "give names without a port or a pattern"),
        ('[http]\ntcp = "8377"', "give an address and a port"),
        ('[redis]\nurl = "localhost:6379"', "give an address that begins with redis://, rediss:// or unix://"),
        ('[embed]\nurl = "localhost"', "give an address that begins with http:// or https://"),
        ("[watch]\nsettle_s = fast", "Invalid value (at line 2, column 12)"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_what_is_accepted(
    tmp_path: Path, text: str, expected: str
) -> None:
    said = complaint(tmp_path, text)
    assert expected in said
    assert "ragd.toml" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[watch]\nsettle_s = 20", "watch.settle_s (20) must not be above watch.max_wait_s (10)"),
        ("[split]\nmin_tokens = 256", "split.min_tokens (256) must be below split.max_tokens (256)"),
        ("[index]\nexact_below = 100_000", "index.exact_below (100000) must be below index.ivf_above (100000)"),
        ("[search]\nlimit = 200", "search.limit (200) must not be above search.candidates (100)"),
        ('[embed]\nencoder = "openai"\nmodel = "m"', "embed.url must name the endpoint"),
        ('[embed]\nencoder = "openai"\nurl = "http://h"', "embed.model must name the endpoint's model"),
        ('[embed]\nencoder = "sbert"\nprecision = "int8"', 'embed.precision "int8" is for embed.encoder "onnx"'),
        (f'[http]\nsocket = "/{"x" * 120}"', "has 121 bytes, the system allows 107"),
    ],
)
def test_values_that_do_not_fit_together_are_named_with_their_origins(tmp_path: Path, text: str, expected: str) -> None:
    said = complaint(tmp_path, text)
    assert expected in said
    assert re.search(r"from .*ragd\.toml:\d", said)


def collections(*folders: tuple[str, str]) -> str:
    return "".join(f'[[collections]]\nname = "{name}"\nfolders = ["{folder}"]\n' for name, folder in folders)


def test_folders_of_collections_must_be_distinct(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert 'the name "a" is used twice' in complaint(tmp_path, collections(("a", "x"), ("a", "y")))
    assert "is watched twice (by a and b)" in complaint(tmp_path, collections(("a", "x"), ("b", "./x")))
    assert "is watched twice" in complaint(tmp_path, collections(("a", "real"), ("b", "link")))
    said = complaint(tmp_path, collections(("a", "x"), ("m", "x-y"), ("b", "x/deep/er")))
    assert "x/deep/er (of b) lies in" in said
    assert len(given(tmp_path, collections(("a", "x"), ("b", "x-y"))).config.collections) == 2


def test_a_folder_that_does_not_exist_is_no_configuration_error(tmp_path: Path) -> None:
    assert given(tmp_path, collections(("a", "nowhere"))).config.collections[0].folders == (tmp_path / "nowhere",)


def test_unknown_variables_are_errors_that_name_the_nearest(tmp_path: Path) -> None:
    assert "did you mean RAGD_WORKERS__EMBED?" in complaint(tmp_path, env={"RAGD_WORKERS__EMBD": "1"})
    assert "embed is a section; its keys are RAGD_EMBED__" in complaint(tmp_path, env={"RAGD_EMBED": "1"})
    said = complaint(tmp_path, env={"RAGD_WORKERS__NICE": "99"})
    assert said == 'RAGD_WORKERS__NICE: workers.nice = "99" is not accepted; give a whole number from 0 to 19'
    assert given(tmp_path, env={"RAGD_TEST_KEEP": "1", "RAGDOLL": "1"}).config.workers.nice == 10


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    said = complaint(tmp_path, "[embed]\nthreds = 2\n[search]\nlimit = 0\n", {"RAGD_LOG__LEVEL": "loud"})
    assert len(said.splitlines()) == 3


def test_secrets_are_never_part_of_a_complaint(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[embed]\napi_key = 12345\n[redis]\nurl = "http://user:hush@host"\n')
    assert "12345" not in said
    assert "hush" not in said
    # A short state folder: the socket's path has a limit, and the test's own folder may be deep.
    env = {"RAGD_EMBED__API_KEY": "hush", "RAGD_STATE": "/tmp/ragd"}
    config = given(tmp_path / "other", env=env).config
    assert "hush" not in repr(config)
    assert config.embed.api_key.get_secret_value() == "hush"


def test_a_file_that_is_not_utf8_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ragd.toml").write_bytes(b'state = "\xff"')
    assert "not UTF-8 at byte 9" in complaint(tmp_path)
    with pytest.raises(ConfigInvalid, match="there is no file"):
        load(tmp_path, {}, {}, cwd=tmp_path)


def test_a_loaded_configuration_does_not_change(tmp_path: Path) -> None:
    config = given(tmp_path).config
    with pytest.raises(ValidationError):
        config.search.limit = 3
    with pytest.raises(ValidationError):
        config.state = tmp_path


def test_lines_are_found_in_inline_tables_dotted_keys_and_after_long_strings(tmp_path: Path) -> None:
    text = (
        'search.limit = 3\nembed = { threads = 2 }\n[watch]\n# note\nsettle_s = 1\n[redis]\nserver = """\nurl = 1"""\n'
    )
    origins = given(tmp_path, text).origins
    lines = {name: str(origin).rpartition(":")[2] for name, origin in origins.items() if origin.layer is Layer.FILE}
    assert lines == {"search.limit": "1", "embed.threads": "2", "watch.settle_s": "5", "redis.server": "7"}
