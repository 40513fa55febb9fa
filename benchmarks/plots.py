"""The figures as images for the docs: `python -m benchmarks.plots results.json ...`. Needs `pip install '.[plots]'`.

Reads what `--out` of benchmarks.import_export and benchmarks.compare wrote, and draws throughput and memory over the
size of the export, a line for each that was measured with at least two sizes.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import results

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MEGABYTE = 1e6
INCHES = (7.0, 4.8)
Series = dict[str, list[tuple[float, float]]]
"""Points (size, figure) by label."""


def series_of(figures: Sequence[dict[str, Any]], figure: str, unit: float = 1) -> Series:
    """The lines of a plot, each from its smallest size on. A size that was measured again counts as it was last."""
    lines: dict[str, dict[float, float]] = {}
    for one in figures:
        lines.setdefault(one["label"], {})[one["megabytes"]] = one[figure] / unit
    return {label: sorted(points.items()) for label, points in lines.items() if len(points) > 1}


def draw(path: Path, lines: Series, unit: str, *, logarithmic: bool = False) -> None:
    """One plot of `of` over size; ray_import's line is the thick one. The same figures give the same bytes."""
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("svg")
    pyplot: Any = import_module("matplotlib.pyplot")
    ticker: Any = import_module("matplotlib.ticker")
    with matplotlib.rc_context({"svg.hashsalt": "ray_import", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = pyplot.subplots(figsize=INCHES, layout="constrained")
        for label, points in lines.items():
            thick = 3 if label.partition(",")[0] == "ray_import" else 1.3
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, linewidth=thick, label=label)
        axes.set_xscale("log")
        axes.set_xticks(sorted({size for points in lines.values() for size, _ in points}))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        else:
            axes.set_ylim(bottom=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("export, MB of JSON")
        axes.set_ylabel(unit)
        axes.grid(visible=True, color="#dddddd", linewidth=0.5)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        pyplot.close(figure)


def main() -> None:
    """Draw docs/images/throughput.svg and docs/images/memory.svg."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=main.__doc__)
    options.add_argument("results", type=Path, nargs="+", help="files that --out wrote")
    options.add_argument("--images", type=Path, default=IMAGES, metavar="DIR", help="where the images go")
    chosen = options.parse_args()
    if find_spec("matplotlib") is None:
        options.error("matplotlib is not here: pip install '.[plots]'")
    figures = results.read(chosen.results)
    throughput = series_of(figures, "megabytes_per_second")
    if not throughput:
        options.error("nothing was measured with two sizes: give benchmarks several --mb")
    draw(chosen.images / "throughput.svg", throughput, "MB/s, Ray being up")
    draw(
        chosen.images / "memory.svg",
        series_of(figures, "peak_pss_bytes", MEGABYTE),
        "peak memory of all processes, MB",
        logarithmic=True,
    )
    print(f"throughput.svg and memory.svg are in {chosen.images}")


if __name__ == "__main__":
    main()
