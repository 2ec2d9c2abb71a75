"""Plots, tables and pictures that are kept with a dataset version, for whoever looks at it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.logger import check_name, drawn, scatter_report
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_ROWS = 1000
"""Of a table: it is for people; whole tables are metadata or files of the version."""


class DatasetLogger:
    """Reports of one version; the newest of a title, series and iteration stands."""

    def __init__(self, version_id: str) -> None:
        self._path = f"/datasets/{version_id}/reports"

    def report_scalar(self, title: str, series: str, value: float, iteration: int = 0) -> None:
        """Keep a number; NaN and infinities are kept as a gap."""
        self._report(title, series, iteration, kind="scalar", data=drawn(value))

    def report_scatter2d(self, title: str, series: str, scatter: Iterable[Iterable[float]], iteration: int = 0) -> None:
        """Keep a plot of points, pairs of x and y or an array of shape (n, 2)."""
        session.client().post(self._path, scatter_report(title, series, scatter, iteration=iteration), repeatable=True)

    def report_text(self, title: str, text: str, iteration: int = 0) -> None:
        """Keep a text."""
        self._report(title, "", iteration, kind="text", data=text)

    def report_histogram(
        self,
        title: str,
        series: str,
        values: Iterable[float],
        iteration: int = 0,
        *,
        xlabels: Sequence[str] | None = None,
    ) -> None:
        """Keep a bar chart.

        Args:
            title: of the chart.
            series: what is counted.
            values: height of each bar.
            iteration: which one of several.
            xlabels: name of each bar; their numbers where none are given.

        Raises:
            ValueError: there are more or fewer names than bars.
        """
        heights = [drawn(value) for value in values]
        labels = [str(number) for number in range(len(heights))] if xlabels is None else [str(each) for each in xlabels]
        if len(labels) != len(heights):
            raise ValueError(f"there are {len(heights)} values and {len(labels)} names for them")
        self._report(title, series, iteration, kind="histogram", data={"labels": labels, "values": heights})

    def report_table(self, title: str, series: str, table_plot: Any, iteration: int = 0) -> None:  # noqa: ANN401  pandas is not imported here
        """Keep a table: a pandas DataFrame, or rows of which the first names the columns; at most 1,000 rows.

        Raises:
            ValueError: it has no columns, or too many rows: keep it with `set_metadata`, or as a file.
        """
        if hasattr(table_plot, "columns") and hasattr(table_plot, "itertuples"):
            columns, rows = list(table_plot.columns), [list(row) for row in table_plot.itertuples(index=False)]
        else:
            columns, *rows = [list(row) for row in table_plot] or [[]]
        if not columns or len(rows) > _MOST_ROWS:
            raise ValueError(f"a table to look at has columns and at most {_MOST_ROWS} rows, not {len(rows)}")
        data = {"columns": [str(name) for name in columns], "rows": [[_cell(value) for value in row] for row in rows]}
        self._report(title, series, iteration, kind="table", data=data)

    def report_image(self, title: str, series: str, image: Any, iteration: int = 0) -> None:  # noqa: ANN401  PIL is not imported here
        """Keep a picture: a path of one, a PIL image, or an array that PIL makes one of (height, width[, channels]).

        Raises:
            ImportError: Pillow is not installed.
        """
        from PIL import Image  # noqa: PLC0415  a script's own

        from orchestrator.sdk.blobs import store_missing  # noqa: PLC0415  only where it is used

        picture: Image.Image
        if isinstance(image, (str, Path)):
            picture = Image.open(image)
        else:
            picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        content = io.BytesIO()
        picture.save(content, format="PNG")
        with tempfile.NamedTemporaryFile(prefix="retrain-image-") as file:
            file.write(content.getbuffer())
            file.flush()
            (digest,) = store_missing(session.client(), [Path(file.name)])
        data = {"digest": digest, "width": picture.width, "height": picture.height}
        self._report(title, series, iteration, kind="image", data=data)

    def report_plotly(self, title: str, series: str, figure: Any, iteration: int = 0) -> None:  # noqa: ANN401  plotly is not imported here
        """Keep a Plotly figure, or its JSON as a dict."""
        data = figure.to_plotly_json() if hasattr(figure, "to_plotly_json") else figure
        self._report(title, series, iteration, kind="plotly", data=data)

    def _report(self, title: str, series: str, iteration: int, *, kind: str, data: Any) -> None:  # noqa: ANN401  JSON
        check_name(title, what="title")
        body = {"title": title, "series": series, "iteration": int(iteration), "kind": kind, "data": data}
        session.client().post(self._path, body, repeatable=True)


def _cell(value: Any) -> str | float | int | bool | None:  # noqa: ANN401  whatever a table holds
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) or hasattr(value, "__float__"):
        return drawn(value)
    return str(value)
