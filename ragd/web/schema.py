"""The shapes of `/v1`: what is asked in a query string or a body, and what is answered. Times are Unix seconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ragd.domain.search import Mode

DocumentId = Annotated[int, Field(ge=0, le=10**16)]
DocumentStateName = Literal["pending", "text", "searchable", "failed"]


class Asked(BaseModel):
    """What a client sends; a name that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Posted(Asked):
    """A body: each value is of the kind that is asked for, nothing is converted."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="after")
    def _are_texts(self) -> Self:
        # Half a surrogate is no text, but for those that stand for bytes in the names of files.
        for name, value in self:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and any(
                    "\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text
                ):
                    raise ValueError(f"{name} holds half a surrogate")
        return self


class Told(BaseModel):
    """What ragd answers."""

    model_config = ConfigDict(extra="ignore")


class SearchParams(Asked):
    """`GET /v1/search`."""

    q: str = Field(description="What to search for, at most 8192 characters.")
    mode: Mode = Field(default=Mode.HYBRID, description="By words (BM25), by meaning (dense), or both fused.")
    limit: int | None = Field(default=None, ge=1, le=1000, description="Hits in the answer; `search.limit` by default.")
    collection: list[str] = Field(default=[], description="Only these collections.")
    folder: list[str] = Field(default=[], description="Only below these folders of a watched one: `guide/install`.")
    glob: list[str] = Field(default=[], description="Only paths that match, as in .gitignore: `**/*.md`.")
    type: list[str] = Field(default=[], description="Only these file types: `md`, `pdf`.")
    modified_after: str = Field(default="", description="A date, a time, Unix seconds, or an age such as `7d`.")
    modified_before: str = Field(default="", description="Likewise; the moment itself is not included.")
    after: str = Field(default="", description="Wait first until this receipt's change is searchable, or `latest`.")
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="How long `after` may wait.")


class DocumentsParams(Asked):
    """`GET /v1/documents`."""

    state: DocumentStateName | None = Field(default=None, description="Only documents in this state.")
    collection: str | None = Field(default=None, description="Only this collection.")
    path: str | None = Field(default=None, description="Only this path, or what lies below this folder.")
    limit: int = Field(default=100, ge=1, le=1000, description="Documents in the answer.")
    cursor: str | None = Field(default=None, description="`next` of the page before.")


class ReceiptsParams(Asked):
    """`GET /v1/receipts`."""

    path: str | None = Field(default=None, description="Only changes of this path, or of what lies below this folder.")
    limit: int = Field(default=20, ge=1, le=1000, description="Receipts in the answer, newest first.")
    pending: bool | None = Field(default=None, description="Only those that are not done yet (true), or are (false).")


class RetryBody(Posted):
    """`POST /v1/retry`."""

    paths: list[str] | None = Field(default=None, max_length=10_000, description="Which failed documents; null: all.")


class RereadBody(Posted):
    """`POST /v1/reread`."""

    documents: list[DocumentId] = Field(max_length=100_000, description="Ids of the documents to read again.")


class RescanBody(Posted):
    """`POST /v1/rescan`."""

    folder: str | None = Field(default=None, description="The watched folder, or one below it; null: all.")


class ConfirmDeleteBody(Posted):
    """`POST /v1/confirm-delete`."""

    folder: str | None = Field(default=None, description="The watched folder; null: every one that holds deletions.")
    most: int | None = Field(default=None, ge=0, description="Refuse when more documents than this are held by now.")


class VerifyBody(Posted):
    """`POST /v1/verify`."""

    repair: bool = Field(default=False, description="Make the index equal to the catalog.")
    full: bool = Field(default=False, description="Compare every row, not only the digests kept on both sides.")


class Fault(Told):
    """What went wrong: a stable code, one line for people, and what to do."""

    code: str
    message: str
    hint: str


class ErrorAnswer(Told):
    """The one shape of every error."""

    error: Fault


class FreshnessAnswer(Told):
    """How far the index was behind the folders, in documents, when the query was answered."""

    pending: int = Field(description="Seen, and not found yet in their newest form.")
    words_only: int = Field(description="Found by words, not yet by meaning.")
    is_current: bool
    proven_at: float | None = Field(default=None, description="When the index was last proven equal to the catalog.")


class HitAnswer(Told):
    """One chunk, where it stands, and how its score came about."""

    chunk_id: int
    document_id: int = Field(default=0, description="The document that is shown for it.")
    collection: str
    root: str
    path: str
    title: str
    heading: str
    page: int | None
    start: int = Field(description="First character of the chunk in the extracted text.")
    end: int
    text: str
    score: float = Field(description="Hybrid: fused ranks, 1 when first on both sides. Dense: cosine. Words: BM25.")
    parts: dict[str, float] = Field(description="`dense`, `words` and their ranks, where that side found the chunk.")
    modified_at: float


class SearchAnswer(Told):
    """`GET /v1/search`."""

    query: str
    query_id: int | None = Field(default=None, description="For `POST /v1/feedback`; null where no journal is kept.")
    mode: Mode
    took_ms: float
    freshness: FreshnessAnswer
    notes: list[str]
    hits: list[HitAnswer]


class DocumentCounts(Told):
    """Documents by state."""

    pending: int
    text: int
    searchable: int
    failed: int


class ChunkCounts(Told):
    """Live chunks, and how many of them have a vector in the serving generation."""

    total: int
    with_vectors: int


class StatusAnswer(Told):
    """`GET /v1/status`."""

    model_config = ConfigDict(extra="allow")

    state: Literal["ready", "indexing", "degraded", "failed"]
    reasons: list[str]
    documents: DocumentCounts
    chunks: ChunkCounts
    index: dict[str, Any]
    queues: dict[str, Any]
    workers: list[dict[str, Any]]
    watch: list[dict[str, Any]]
    redis: dict[str, Any]
    model: dict[str, Any]
    proof: dict[str, Any] | None = Field(description="When index and catalog were compared last, and what came of it.")
    version: str
    uptime_s: float
    progress: dict[str, Any]


class DocumentAnswer(Told):
    """One document and where it stands."""

    id: int
    collection: str
    root: str
    path: str
    kind: str
    state: DocumentStateName
    title: str
    size_bytes: int
    modified_at: float
    chunks: int
    chunks_embedded: int
    reason: str
    hint: str


class DocumentsAnswer(Told):
    """`GET /v1/documents`: a page, and the cursor of the next one, null on the last."""

    documents: list[DocumentAnswer]
    next: str | None


class ReceiptAnswer(Told):
    """The way of one change: when each step was reached, null while it was not."""

    id: int
    collection: str
    path: str
    action: str
    seen_at: float | None
    stable_at: float | None
    planned_at: float | None
    extracted_at: float | None
    text_searchable_at: float | None
    searchable_at: float | None
    encoded_chars: int
    outcome: str


class ReceiptsAnswer(Told):
    """`GET /v1/receipts`."""

    receipts: list[ReceiptAnswer]


class RetryAnswer(Told):
    """`POST /v1/retry`: how many failed documents were taken up again."""

    retried: int


class RereadAnswer(Told):
    """`POST /v1/reread`: how many documents are read again."""

    reread: int


class RescanAnswer(Told):
    """`POST /v1/rescan`."""

    started: bool


class ReloadAnswer(Told):
    """`POST /v1/reload`: the keys whose new values hold now, and those that wait for a restart."""

    changed: list[str]
    needs_restart: list[str]


class Confirmed(Told):
    """Deletions that were let go: of which folder, and how many."""

    folder: str
    missing: int


class ConfirmDeleteAnswer(Told):
    """`POST /v1/confirm-delete`; empty when nothing was held."""

    confirmed: list[Confirmed]


class VerifyAnswer(Told):
    """`POST /v1/verify`: what each side holds, the chunk ids that differ, and whether they were made equal."""

    clean: bool
    catalog_chunks: int
    index_chunks: int
    missing: list[int]
    ghosts: list[int]
    differing: list[int]
    miscounted: bool = Field(description="The rows are equal, and a digest that was kept of them is not.")
    faults: list[str] = Field(description="What the catalog itself counted wrong; only `full` looks.")
    repaired: bool
    seconds: float
