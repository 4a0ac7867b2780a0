"""The only place that constructs: a configuration becomes the parts of one running ragd."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from ragd.catalog.journal import Journal
from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.config.live import LiveConfig
from ragd.config.places import Places
from ragd.config.schema import Config
from ragd.domain.errors import NotFound, RagdError
from ragd.domain.index import Depth, EmbeddingSpace, EncoderSpec, IndexPolicy
from ragd.domain.ports import Encoder
from ragd.domain.work import Outbox, ReadLimits, SplitPolicy
from ragd.embed.encoder import open_encoder, tokenizer_path
from ragd.flow.answer import Answer, Freshness, SearchSettings
from ragd.flow.dispatch import Bounds, Dispatch
from ragd.flow.generations import Generations, Live
from ragd.flow.ingest import Ingest
from ragd.flow.journal import QUERIES_REMEMBERED, QueryJournal
from ragd.flow.offline import Offline, Opener
from ragd.flow.promote import Promotions
from ragd.flow.prove import Prover
from ragd.flow.recover import recover, restorer
from ragd.flow.refit import Refit
from ragd.flow.reuse import Reuse
from ragd.flow.roots import Roots, known
from ragd.flow.route import Route, Routes
from ragd.flow.shelf import Shelf
from ragd.flow.tables import Tables
from ragd.hooks.roster import readers_in
from ragd.index.generation import Generation
from ragd.index.restore import restore
from ragd.plan.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Model:
    """The encoder that serves, its space, how texts are cut for it, and what readers cannot be held back from."""

    spec: EncoderSpec
    encoder: Encoder
    split: SplitPolicy
    reader: str
    lacks: tuple[str, ...] = ()

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space that serves."""
        return self.encoder.space


@dataclass(frozen=True, slots=True)
class App:
    """Everything that changes and serves one state folder; the daemon owns exactly one."""

    live: LiveConfig
    places: Places
    tables: Tables
    reader: CatalogReader
    model: Model
    generations: Generations
    roots: Roots
    dispatch: Dispatch
    ingest: Ingest
    routes: Routes
    answer: Answer
    journal: QueryJournal
    shelf: Shelf
    promotions: Promotions
    prover: Prover

    @property
    def config(self) -> Config:
        """The configuration that holds now."""
        return self.live.now

    @property
    def generation_id(self) -> int:
        """The generation that serves."""
        return self.generations.serving.id

    @property
    def index(self) -> Generation:
        """The index that serves."""
        return self.generations.serving.index

    @property
    def restored(self) -> str:
        """How the serving index came to be."""
        return self.generations.serving.origin

    def adopt(self, config: Config) -> None:
        """Lets another configuration hold, and every part go by it; else the one before does, and it raises."""
        roots = known(self.tables.documents, config)
        self.tables.documents.reread(self.model.reader, str(read_limits(config)))
        self.live.replace(config)
        self.answer.settings = search_settings(config)
        learn, retain = config.learn, config.retain
        self.journal.keep(is_kept=learn.journal, days=learn.journal_days, most=retain.queries)
        self.roots.replace(roots)

    def close(self) -> None:
        """Keeps the last queries, then closes the indexes, the encoders and the catalog, in this order."""
        with suppress(RagdError):
            self.journal.flush(at_once=True)
        for live in self.generations.all:
            live.index.close()
        self.shelf.close()
        self.model.encoder.close()
        self.reader.close()
        self.tables.store.close()


def open_model(config: Config) -> Model:
    """Opens the encoder for queries (one thread) and asks the readers for their version.

    Raises ModelUnavailable, ModelMismatch, ConfigInvalid or DiskFull.
    """
    spec = encoder_spec(config)
    encoder = encoder_opener(config)(replace(spec, threads=1))
    split = split_policy(config, spec, encoder.space.max_tokens)
    plugins = readers_in(config.plugins_folder, config.state, config.plugins.disabled)
    sandbox = Sandbox(read_limits(config), split, plugins)
    try:
        return Model(spec, encoder, split, sandbox.reader_version(), sandbox.lacks())
    finally:
        sandbox.close()


def build(
    config: Config,
    model: Model,
    outbox: Outbox,
    *,
    recheck: Callable[[int, bytes], None],
    progress: Callable[[int, int], None] | None = None,
    opener: Callable[[EncoderSpec], Encoder] | None = None,
    clock: Callable[[], float] = time.time,
) -> App:
    """Opens the catalog and makes the index equal to it; `progress` hears (rows done, rows in all).

    `opener` opens the encoders of the registry, by default as the configured one is opened. The state
    folder must be locked by the caller. Raises StateCorrupt, StateNewer, DiskFull.
    """
    places = Places(config.state)
    store = Store(config.state)
    tables = Tables.of(store, clock)
    reader = CatalogReader(config.state)
    tables.documents.reread(model.reader, str(read_limits(config)))
    shelf = Shelf(places.models, model.spec, model.encoder, opener or encoder_opener(config))
    index_of = restorer(places.generation, reader.replay, index_policy(config), progress)
    keep_previous_s = config.learn.keep_previous_s
    recovered = recover(tables, shelf, index_of, now=clock(), keep_previous_s=keep_previous_s)
    generations, serving = recovered.generations, recovered.generations.serving
    roots = Roots(known(tables.documents, config))
    dispatch = Dispatch(
        tables.documents,
        tables.vectors,
        outbox,
        roots=roots,
        generations=generations,
        bounds=Bounds(),
        clock=clock,
    )
    ingest = Ingest(
        tables,
        generations,
        reader.replay,
        dispatch,
        reader=model.reader,
        recheck=recheck,
        clock=clock,
    )
    routes = Routes(recovered.route)
    journal = query_journal(config, store, reader, serving, clock)
    prover = Prover(generations, reader.replay, store, clock=clock)
    prover.prove(Depth.DIGEST, should_repair=True)
    fresh = freshness(reader, lambda: prover.proven_at)
    answer = Answer(reader, routes, search_settings(config), fresh, on_answered=journal.note)
    promotions = Promotions(
        tables,
        reader.registry,
        generations,
        routes,
        shelf,
        ingest,
        Refit(tables, generations, shelf, places.generation, recovered.said),
        index_of,
        keep_previous_s=keep_previous_s,
        said=recovered.said,
        reuse=Reuse(reader.registry, config.state / "runs", ingest),
        forget=dispatch.forget,
        clock=clock,
    )
    ways = (dispatch, ingest, routes, answer, journal, shelf, promotions, prover)
    return App(LiveConfig(config), places, tables, reader, model, generations, roots, *ways)


def query_journal(
    config: Config, store: Store, reader: CatalogReader, serving: Live, clock: Callable[[], float]
) -> QueryJournal:
    """What hears of every query; with the vectors of queries that the journal keeps from before."""
    kept = reader.learning.journal
    journal = QueryJournal(
        Journal(store),
        is_kept=config.learn.journal,
        keep_days=config.learn.journal_days,
        keep_queries=config.retain.queries,
        trim_every_s=config.retain.turn_s,
        newest_id=kept.newest_id(),
        clock=clock,
    )
    journal.remember(kept.vectors(serving.id, QUERIES_REMEMBERED), serving.space.fingerprint)
    return journal


def encoder_opener(config: Config) -> Callable[[EncoderSpec], Encoder]:
    """Opens the encoder of a specification, with this state folder's artefacts and the configured key."""
    key = config.embed.api_key.get_secret_value()
    return lambda spec: open_encoder(spec, Places(config.state).models, api_key=key)


def freshness(reader: CatalogReader, proven_at: Callable[[], float | None]) -> Callable[[], Freshness]:
    """Counts what is not searchable yet, and tells when the index was proven, whenever it is called."""
    return lambda: Freshness(*reader.overview.unfinished(), proven_at())


def encoder_spec(config: Config) -> EncoderSpec:
    """The `embed` section as workers are told it: without the key."""
    embed = config.embed
    return EncoderSpec(
        kind=embed.encoder,
        model=embed.model,
        precision=embed.precision,
        threads=embed.threads,
        max_tokens=embed.max_tokens,
        dimension=embed.dimension,
        query_prompt=embed.query_prompt,
        document_prompt=embed.document_prompt,
        url=embed.url,
        timeout_s=embed.timeout_s,
        retries=embed.retries,
        requests_per_minute=embed.requests_per_minute,
    )


def split_policy(config: Config, spec: EncoderSpec, max_tokens: int) -> SplitPolicy:
    """How texts are cut: never longer than the encoder sees."""
    tokenizer = tokenizer_path(spec, Places(config.state).models)
    longest = min(config.split.max_tokens, max_tokens) if max_tokens else config.split.max_tokens
    return SplitPolicy(str(tokenizer or ""), min(config.split.min_tokens, longest), longest)


def read_limits(config: Config) -> ReadLimits:
    """What one file may cost."""
    read = config.read
    return ReadLimits(read.max_file_mb * 1024 * 1024, read.max_chars, read.timeout_s, read.memory_mb)


def index_policy(config: Config) -> IndexPolicy:
    """When the index changes its kind."""
    index = config.index
    return IndexPolicy(index.ivf_above, index.exact_below, index.nprobe)


def search_settings(config: Config) -> SearchSettings:
    """How queries are answered."""
    return SearchSettings(config.search.candidates, config.search.rrf_k)


def open_offline(config: Config) -> Offline:
    """The state folder as it is on disk, for commands that find no daemon; nothing in it changes.

    Raises NotFound when nothing was indexed there yet, StateCorrupt, StateNewer.
    """
    places = Places(config.state)
    reader = CatalogReader(config.state)
    try:
        serving = reader.overview.serving()
    except FileNotFoundError as error:
        raise NotFound(f"nothing was indexed in {config.state} yet", hint="start with `ragd run FOLDER`") from error
    notes = ["no daemon is running: this is what the last one left"]
    route = Route(None, None)
    proven_at = None
    if serving is not None:
        generation_id, space = serving
        folder = places.generation(generation_id)
        index = restore(folder, space, reader.replay, generation_id, index_policy(config)).generation
        proven_at = time.time() if index.digest == reader.replay.digest(generation_id) else None
        opener = Opener(places.models, encoder_spec(config), encoder_opener(config))
        route = opener.route(reader.registry, generation_id, space, index, notes)
    answer = Answer(reader, Routes(route), search_settings(config), freshness(reader, lambda: proven_at))
    return Offline(reader, route.generation, index if serving is not None else None, answer, tuple(notes))
