"""Pictures of results: a confusion matrix, labels in truth beside prediction, models side by side, learning
curves.

matplotlib, to PNG files.
"""

from pathlib import Path
from typing import Any

INK, LIGHT = "#1b4965", "#bee9e8"


def _canvas(width: float, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
    """A figure with panels side by side, in inches, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, i + 1) for i in range(panels)]


def confusion_chart(counts: list[list[float]], labels: list[str], title: str, path: Path) -> None:
    """Truth down, prediction across; colour by share of the true label, numbers by count."""
    size = 2.5 + 0.55 * len(labels)
    figure, (axes,) = _canvas(size + 1, size)
    shares = []
    for row in counts:
        total = max(1.0, sum(row))
        shares.append([value / total for value in row])
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, value in enumerate(row):
            axes.text(
                j,
                i,
                f"{value:,.0f}",
                ha="center",
                va="center",
                color="white" if shares[i][j] > 0.5 else "black",
                fontsize=8,
            )
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.savefig(path, dpi=110)


def reliability_chart(splits: dict[str, list[tuple[int, float, float]]], title: str, path: Path) -> None:
    """Observed frequency by predicted probability, one line a split; a larger mark is of more decisions."""
    figure, (axes,) = _canvas(4.5, 4.5)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for split, bins in splits.items():
        total = sum(count for count, _, _ in bins)
        sizes = [20 + 200 * count / total for count, _, _ in bins]
        _, predicted, observed = zip(*bins, strict=True)
        axes.plot(predicted, observed, linewidth=1)
        axes.scatter(predicted, observed, s=sizes, alpha=0.7, label=split)
    axes.legend()
    axes.set(xlabel="predicted probability", ylabel="observed frequency", title=title)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.savefig(path, dpi=110)


def distribution_chart(
    true: list[float], predicted: list[float], labels: list[str], title: str, path: Path
) -> None:
    """How often each label stands in the truth, and how often it is predicted."""
    figure, (axes,) = _canvas(7, 1.5 + 0.45 * len(labels))
    places = list(range(len(labels)))
    axes.barh([p - 0.2 for p in places], true, 0.38, label="true", color=INK)
    axes.barh([p + 0.2 for p in places], predicted, 0.38, label="predicted", color=LIGHT, edgecolor=INK)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlabel="rows", title=title)
    axes.legend()
    figure.savefig(path, dpi=110)


Bars = list[tuple[str, float, float, float]]  # (model, value, low, high)


def models_chart(panels: list[tuple[str, Bars]], path: Path) -> None:
    """One panel for each (title, bars), a bar a model with its interval, the best on top."""
    bars_chart(panels, {model for _, bars in panels for model, *_ in bars}, path)


def bars_chart(panels: list[tuple[str, Bars]], dark: set[str], path: Path) -> None:
    """As `models_chart`; what is not in ``dark`` is drawn light."""
    height = 1.2 + 0.36 * max(len(bars) for _, bars in panels)
    figure, axes = _canvas(5.5 * len(panels), height, len(panels))
    for one, (title, bars) in zip(axes, panels, strict=True):
        ordered = sorted(bars, key=lambda bar: bar[1])
        values = [value for _, value, _, _ in ordered]
        below = [max(0.0, value - low) for _, value, low, _ in ordered]
        above = [max(0.0, high - value) for _, value, _, high in ordered]
        errors = [below, above]
        names = [name for name, *_ in ordered]
        color_of = dict.fromkeys(names, LIGHT) | dict.fromkeys(dark, INK)
        colors = [color_of[name] for name in names]
        one.barh(
            names,
            values,
            color=colors,
            edgecolor=INK,
            xerr=errors,
            ecolor="#ca6702",
            capsize=3,
        )
        one.set(xlim=(0, 1.12), title=title)
        one.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        one.spines[["top", "right"]].set_visible(False)
        for place, (_, value, _, high) in enumerate(ordered):
            one.text(max(high, value) + 0.015, place, f"{100 * value:.1f}", va="center", fontsize=8)
    figure.savefig(path, dpi=130)


Curve = list[tuple[float, float]]  # (step, loss)


def curves_chart(curves: dict[str, tuple[Curve, Curve]], path: Path) -> None:
    """Training loss on the left, validation loss on the right, a colour a job; both on one logarithmic
    scale.
    """
    figure, axes = _canvas(11, 4, 2)
    for place, (one, title) in enumerate(zip(axes, ("training loss", "validation loss"), strict=True)):
        for i, (name, pair) in enumerate(curves.items()):
            marker = {"marker": "o", "markersize": 3.5} if place else {}
            one.plot(
                *zip(*pair[place], strict=True) if pair[place] else ([], []),
                label=name,
                color=f"C{i}",
                linewidth=1.6,
                **marker,
            )
        one.set(xlabel="optimiser step", title=title, yscale="log")
        one.yaxis.set_major_formatter("{x:g}")
        one.yaxis.set_minor_formatter("{x:g}")
        one.tick_params(axis="y", which="minor", labelsize=7)
        one.grid(alpha=0.25, which="both")
        one.spines[["top", "right"]].set_visible(False)
    axes[1].sharey(axes[0])
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def quality_chart(lengths: list[list[int]], bars: list[tuple[str, int, int]], path: Path) -> None:
    """Lengths of training texts before and after the filters, and rows by category: (category, before,
    after).
    """
    figure, (left, right) = _canvas(13, 1.8 + 0.28 * max(8, len(bars)), 2)
    most = max([*lengths[0], 1])
    for some, color, label in zip(lengths, (LIGHT, INK), ("before", "after"), strict=True):
        left.hist(
            some, bins=40, range=(0, most), color=color, label=label, histtype="stepfilled", edgecolor=INK
        )
    left.set(xlabel="characters", ylabel="training rows", title="length")
    left.legend(frameon=False)
    places = list(range(len(bars)))
    right.barh(places, [before for _, before, _ in bars], color=LIGHT, edgecolor=INK, label="before")
    right.barh(places, [after for *_, after in bars], 0.5, color=INK, label="after")
    right.set_yticks(places, [name[:40] for name, *_ in bars])
    right.invert_yaxis()
    right.set(xlabel="training rows", title="category")
    figure.savefig(path, dpi=110)
