"""The page of the reference about metrics, from the table that everything told on `/metrics` is named by."""

from __future__ import annotations

from ragd.cli.markdown import table

_METRICS = """\
# Metrics

`GET /metrics` tells these figures to Prometheus, as text or as OpenMetrics: on the Unix socket, and on `http.tcp` to
whoever has a token of role `read`. Counters begin at 0 when the daemon starts, except those of spending, which the
catalog keeps. A figure that is not known (Redis is away, no snapshot yet) is left out rather than told as 0.
[Watch ragd with Prometheus](../howto/watch-ragd-with-prometheus.md) has a scrape configuration, alerts and a dashboard.

A histogram `NAME` is told as `NAME_bucket`, `NAME_sum` and `NAME_count`."""


def metrics() -> str:
    """Every metric with its kind, labels and meaning."""
    from ragd.daemon.metric_names import METRICS

    rows = [
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.meaning)
        for each in METRICS.values()
    ]
    return "\n".join([_METRICS, "", *table(("Metric", "Kind", "Labels", "Meaning"), rows)]) + "\n"
