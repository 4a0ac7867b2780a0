"""Updates exchanged between sites as signed files: written, signed, proven, and averaged; tensors and figures only."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragd.hooks.api import TrainingFailed

Floats = npt.NDArray[np.float32]
# What every site encodes to prove that its vectors mean the same; public words, the same for all.
PROBES = ("the height of a tower", "who pays for repairs?", "一個地區的歷史", "def index(folder): return search")
_SAME_SPACE = 0.999
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_MOST_BYTES = 256 << 20
_MOST_FILES = 1000
_MOST_EXAMPLES = 10_000_000
_HEAVIEST = 10.0  # times the median of the sites' examples


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of an update beside its tensors; all of it is signed. `sha256` is that of the tensors' file."""

    site: str
    role: str
    round: int
    examples: int
    sha256: str

    def signed_bytes(self) -> bytes:
        """The bytes that the signature covers; equal cards give equal bytes."""
        return b"ragd federation 1\n" + json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Update:
    """One site's change: its card and its tensors, of which `probe` proves the space."""

    card: Card
    tensors: Mapping[str, Floats]


class Refused(Exception):  # not a RagdError: the update is named and left out, and the run goes on
    """An update is not used; `str` says why."""


def keep_update(folder: Path, role: str, number: int, examples: int, tensors: Mapping[str, Floats]) -> None:
    """Writes this site's own update into its artefact, unsigned: it leaves the site when somebody publishes it."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()},
        folder / "update.safetensors",
    )
    told = {"role": role, "round": number, "examples": examples}
    (folder / "update.json").write_text(json.dumps(told) + "\n", "utf-8")


def new_key(private: Path, public: Path) -> None:
    """Makes a pair of Ed25519 keys: the private one for this user alone, the public one as 64 hex digits."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PrivateKey.generate()
    for path in (private, public):
        if path.exists():
            raise TrainingFailed(f"{path} exists already", hint="choose another name; a key is never overwritten")
    private.touch(mode=0o600)
    private.write_text(key.private_bytes_raw().hex() + "\n", "ascii")
    public.write_text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() + "\n", "ascii")


def publish(update: Path, exchange: Path, site: str, private: Path) -> Path:
    """Signs the update in `update` (an artefact's `federation` folder) and puts it into the exchange; returns its card.

    Raises TrainingFailed when a file is missing or the site's name cannot be one.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _SITE.match(site):
        raise TrainingFailed(f"{site!r} cannot be a site's name", hint="use letters, digits, - and _, at most 64")
    try:
        told = json.loads((update / "update.json").read_text("utf-8"))
        data = (update / "update.safetensors").read_bytes()
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private.read_text("ascii").strip()))
        card = Card(
            site, str(told["role"]), int(told["round"]), int(told["examples"]), hashlib.sha256(data).hexdigest()
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingFailed(f"cannot publish {update}: {error}", hint="name an artefact of a federated run") from error
    exchange.mkdir(parents=True, exist_ok=True)
    stem = f"{site}-{card.role}-{card.round}"
    _put(exchange / f"{stem}.safetensors", data)
    signature = key.sign(card.signed_bytes()).hex()
    _put(exchange / f"{stem}.json", json.dumps({**asdict(card), "signature": signature}).encode("ascii"))
    return exchange / f"{stem}.json"


def collect(
    exchange: Path, trusted: Path, own: str, role: str, number: int, probe: Floats
) -> tuple[list[Update], list[str]]:
    """The updates of other sites that may be averaged, the newest of each, and why others were refused.

    `trusted` holds a file `SITE.pub` for each site. `number` is the round, 0 for the newest of each. Raises
    TrainingFailed when a folder is missing.
    """
    for folder, option in ((exchange, "exchange"), (trusted, "trusted")):
        if not folder.is_dir():
            raise TrainingFailed(f"the folder {folder} does not exist", hint=f"set the option {option} to one")
    newest: dict[str, Update] = {}
    refused: list[str] = []
    for path in sorted(exchange.glob("*.json"))[:_MOST_FILES]:
        try:
            update = _proven(path, trusted, own, role, number)
            if update is None:
                continue
            _same_space(update.tensors, probe)
        except Refused as error:
            refused.append(f"{path.name}: {error}")
            continue
        known = newest.get(update.card.site)
        if known is None or known.card.round < update.card.round:
            newest[update.card.site] = update
    return [newest[site] for site in sorted(newest)], refused


def without_outliers(updates: Sequence[Update], sizes: Sequence[float], most: float) -> tuple[list[int], list[str]]:
    """The places of updates whose size is at most `most` times the median, and what is said of the others.

    With fewer than three there is no majority to tell an outlier by, and only what is no number is left out.
    """
    median = float(np.median([size for size in sizes if np.isfinite(size)] or [0.0]))
    kept, refused = [], []
    for place, (update, size) in enumerate(zip(updates, sizes, strict=True)):
        if not np.isfinite(size):
            refused.append(f"{update.card.site}: holds values that are no numbers")
        elif len(updates) >= 3 and median > 0 and size > most * median:
            refused.append(
                f"{update.card.site}: {size / median:.1f} times as large a change as the median, most is {most:g}"
            )
        else:
            kept.append(place)
    return kept, refused


def shares(updates: Sequence[Update]) -> Floats:
    """The weight of each update, by its examples, in all 1; none counts more than ten times the median.

    McMahan et al. 2017, arXiv 1602.05629; the limit is against a site that says too much.
    """
    examples = np.array([update.card.examples for update in updates], dtype=np.float64)
    limited = np.minimum(examples, _HEAVIEST * np.median(examples))
    return np.asarray(limited / limited.sum(), dtype=np.float32)


def _proven(path: Path, trusted: Path, own: str, role: str, number: int) -> Update | None:
    """The update of a card when its signature and its hash hold; None for one that is not asked for."""
    card, signature = _card(path)
    if card.site == own or card.role != role or (number and card.round != number):
        return None
    _check_signature(card, signature, trusted)
    file = path.with_suffix(".safetensors")
    if not file.is_file() or file.is_symlink() or file.stat().st_size > _MOST_BYTES:
        raise Refused("its tensors are missing, or too large")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise Refused("its tensors are not those that were signed")
    return Update(card, _tensors(data))


def _card(path: Path) -> tuple[Card, str]:
    wanted = {field.name for field in fields(Card)} | {"signature"}
    try:
        told: Any = json.loads(path.read_bytes()[: 1 << 16])
        if not isinstance(told, dict) or told.keys() != wanted:
            raise Refused("its card has other fields than a card has" if "signature" in told else "it is not signed")
        signature = str(told.pop("signature"))
        card = Card(**told)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"its card cannot be read: {error}") from error
    numbers = [type(value) is int for value in (card.round, card.examples)]
    if not all(numbers) or not 0 < card.examples <= _MOST_EXAMPLES or not _SITE.match(str(card.site)):
        raise Refused("its card says what cannot be")
    return card, signature


def _check_signature(card: Card, signature: str, trusted: Path) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    file = trusted / f"{card.site}.pub"
    if not file.is_file():
        raise Refused(f"the site {card.site} is not trusted: there is no {file.name}")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(file.read_text("ascii").strip()))
        key.verify(bytes.fromhex(signature), card.signed_bytes())
    except (InvalidSignature, ValueError) as error:
        raise Refused(f"its signature is not that of {card.site}") from error


def _tensors(data: bytes) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data)
    except (SafetensorError, ValueError) as error:
        raise Refused(f"its tensors cannot be read: {error}") from error
    if any(array.dtype != np.float32 for array in found.values()):
        raise Refused("its tensors are not float32")
    return dict(found)


def _same_space(tensors: Mapping[str, Floats], probe: Floats) -> None:
    theirs = tensors.get("probe")
    if theirs is None or theirs.shape != probe.shape:
        raise Refused("it is of another embedding space: its probe has another shape")
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(probe, axis=1)
    cosine = float(((theirs * probe).sum(axis=1) / np.maximum(lengths, 1e-12)).min())
    if not cosine >= _SAME_SPACE:
        raise Refused(f"it is of another embedding space: cosine {cosine:.3f}")


def _put(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
