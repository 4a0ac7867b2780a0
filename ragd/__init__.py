"""ragd: an event-driven incremental indexing daemon that keeps search fresh, true and cheap."""

__version__ = "0.1.0"
__all__ = ["__version__"]
