"""What a teacher answers to prompts: a model in a local folder, or an OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ragd.hooks.api import Prompt, Run, TrainingFailed, prompt_ids

from ._generator import Opened

KEY_VARIABLE = "RAGD_TEACHER_KEY"
ATTEMPTS = 6
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
_PASSING = frozenset({408, 409, 425, 429})
_ASIDE = {
    401: f"set {KEY_VARIABLE} to a key that this endpoint accepts",
    403: f"set {KEY_VARIABLE} to a key that may use this model",
    404: "check the option teacher and the model's name in teacher_model",
}


class Teacher(Protocol):
    """Something that answers several prompts, one after the other in their order."""

    def answers(self, prompts: Sequence[str]) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class LocalTeacher:
    """A model in this process, which answers greedily, one prompt after the other."""

    opened: Opened
    most_tokens: int

    def answers(self, prompts: Sequence[str]) -> Iterator[str]:
        """What the model says, without special tokens."""
        return map(self._answer, prompts)

    def _answer(self, prompt: str) -> str:
        import torch

        model, tokenizer = self.opened.model, self.opened.tokenizer
        most = max(1, min(self.most_tokens, self.opened.window - 1))
        ids = torch.tensor([prompt_ids(tokenizer, prompt, self.opened.window - most)], device=model.device)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        with torch.inference_mode():
            found = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=most,
                do_sample=False,
                use_cache=True,
                pad_token_id=pad,
            )
        said: str = tokenizer.decode(found[0][ids.shape[1] :], skip_special_tokens=True)
        return said.strip()


class EndpointTeacher:
    """A model behind `POST <url>/chat/completions`, asked at temperature 0, `parallel` prompts at a time.

    The key comes from the environment (`RAGD_TEACHER_KEY`) and travels in the header only. What may pass (busy,
    broken, silent) is tried six times with growing delays; what will not ends the run.
    """

    def __init__(self, run: Run, url: str, model: str, *, most_tokens: int, parallel: int, timeout_s: float) -> None:
        import httpx

        self._run, self._url, self._model = run, f"{url.rstrip('/')}/chat/completions", model
        self._most_tokens, self._parallel = most_tokens, parallel
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def answers(self, prompts: Sequence[str]) -> Iterator[str]:
        """What the endpoint says. Raises TrainingFailed when it refuses, or stays busy, broken or silent."""
        with ThreadPoolExecutor(self._parallel) as pool:
            yield from pool.map(self._answer, prompts)

    def close(self) -> None:
        """Gives back the connections."""
        self._client.close()

    def _answer(self, prompt: str) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": self._most_tokens,
        }
        reason = ""
        for attempt in range(ATTEMPTS):
            said, reason, asked_s = self._attempt(body)
            if said is not None:
                return said
            delay_s = max(FIRST_DELAY_S * 2.0**attempt, asked_s)
            if attempt + 1 == ATTEMPTS or delay_s > LONGEST_DELAY_S:
                break
            self._wait(delay_s)
        raise TrainingFailed(
            f"the teacher at {self._url} failed {attempt + 1} times, the last time with: {reason}",
            hint="resume the run when it is up again; what it has answered is kept",
        )

    def _attempt(self, body: dict[str, Any]) -> tuple[str | None, str, float]:
        """The answer, or None with a reason that may pass and the seconds that the endpoint asks to wait."""
        import httpx

        try:
            answer = self._client.post(self._url, json=body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise TrainingFailed(f"{self._url} is no address: {error}", hint="http://host:port/v1") from error
        except httpx.TimeoutException:
            return None, "no answer in time", 0.0
        except httpx.TransportError as error:
            return None, f"no connection ({type(error).__name__})", 0.0
        status = answer.status_code
        if status in _PASSING or status >= 500:
            asked = answer.headers.get("retry-after", "")
            return None, f"status {status}", float(asked) if asked.replace(".", "", 1).isdigit() else 0.0
        if status != 200:
            raise TrainingFailed(
                f"the teacher at {self._url} answered {status}{self._told(answer.text)}",
                hint=_ASIDE.get(status, "check the option teacher, and that the prompts are not too long for it"),
            )
        try:
            said = answer.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            said = None
        if not isinstance(said, str):
            raise TrainingFailed(
                f"{self._url} answered something else than a chat completion", hint="check its address"
            )
        return said.strip(), "", 0.0

    def _told(self, text: str) -> str:
        """What the endpoint says of a refusal, in one short line, and never with the key in it."""
        line = " ".join(text.split())[:200]
        return "" if not line or (self._key and self._key[:8] in line) else f": {line}"

    def _wait(self, seconds: float) -> None:
        import time

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._run.is_stopping:
                raise TrainingFailed("stopped while it waited for the teacher", hint="resume the run to go on")
            time.sleep(min(0.1, seconds))


def taught(run: Run, teacher: Teacher, prompts: Sequence[Prompt], *, at_once: int = 8) -> list[Prompt]:
    """The prompts with the teacher's answers in place of their own; those it has nothing to say to are left out.

    Answers are kept in the run's folder as they come, so that a resumed run does not ask twice. Raises TrainingFailed
    when the run is asked to stop.
    """
    file = run.folder / "teacher.jsonl"
    said = dict(_kept(file))
    missing = list(dict.fromkeys(prompt.prompt for prompt in prompts if _mark(prompt.prompt) not in said))
    with file.open("a", encoding="utf-8") as lines:
        for start in range(0, len(missing), at_once):
            if run.is_stopping:
                raise TrainingFailed(
                    f"stopped after {len(said)} answers of the teacher", hint="resume the run to go on"
                )
            asked = missing[start : start + at_once]
            for prompt, answer in zip(asked, teacher.answers(asked), strict=True):
                said[_mark(prompt)] = answer
                lines.write(json.dumps({"prompt": _mark(prompt), "answer": answer}) + "\n")
                lines.flush()
    return [Prompt(prompt.prompt, said[_mark(prompt.prompt)]) for prompt in prompts if said[_mark(prompt.prompt)]]


def _kept(file: Path) -> Iterator[tuple[str, str]]:
    if not file.is_file():
        return
    for line in file.read_text("utf-8").splitlines():
        try:
            found = json.loads(line)
            yield str(found["prompt"]), str(found["answer"])
        except (ValueError, KeyError, TypeError):  # cut off by a kill: it is asked again
            continue


def _mark(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
