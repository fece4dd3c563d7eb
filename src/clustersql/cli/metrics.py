"""``clustersql metrics``: the figures of all processes that publish theirs in a folder, for Prometheus."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError

__all__ = ["metrics"]


def metrics(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The folder; default: what PROMETHEUS_MULTIPROC_DIR names.", show_default=False),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Answer at this port, on loopback, in place of printing once.")
    ] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Answer other machines too.")] = False,
) -> None:
    """Tell the figures of all processes that publish theirs in a folder, as Prometheus reads them.

    The processes of gunicorn or Celery publish by clustersql.telemetry.processes.publish().  Exit status: 0 told, 2
    cannot run.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server

        from ..telemetry.processes import ProcessesCollector, together
    except ImportError as exc:
        raise ConfigError('prometheus_client is not installed: pip install "clustersql[prometheus]"') from exc
    if port is None:
        typer.echo(together(folder).decode(), nl=False)
        return
    registry = CollectorRegistry()
    registry.register(ProcessesCollector(folder))
    host = "0.0.0.0" if expose else "127.0.0.1"
    try:
        start_http_server(port, host, registry)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {host}:{port}: {exc}") from exc
    typer.echo(f"http://{host}:{port}/metrics", err=True)
    threading.Event().wait()
