"""Pictures of results: a confusion matrix, labels in truth beside prediction, and models side by side. matplotlib, to PNG files."""

from pathlib import Path
from typing import Any

INK, LIGHT = "#1b4965", "#bee9e8"


def canvas(width: float, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
    """A figure with panels side by side, in inches, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, i + 1) for i in range(panels)]


def confusion_chart(counts: list[list[float]], labels: list[str], title: str, path: Path) -> None:
    """Truth down, prediction across; colour by share of the true label, numbers by count."""
    size = 2.5 + 0.55 * len(labels)
    figure, (axes,) = canvas(size + 1, size)
    shares = [[value / max(1.0, sum(row)) for value in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:,.0f}", ha="center", va="center", color="white" if shares[i][j] > 0.5 else "black", fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.savefig(path, dpi=110)


def distribution_chart(true: list[float], predicted: list[float], labels: list[str], title: str, path: Path) -> None:
    """How often each label stands in the truth, and how often it is predicted."""
    figure, (axes,) = canvas(7, 1.5 + 0.45 * len(labels))
    places = list(range(len(labels)))
    axes.barh([p - 0.2 for p in places], true, 0.38, label="true", color=INK)
    axes.barh([p + 0.2 for p in places], predicted, 0.38, label="predicted", color=LIGHT, edgecolor=INK)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlabel="rows", title=title)
    axes.legend()
    figure.savefig(path, dpi=110)


def models_chart(panels: list[tuple[str, list[tuple[str, float, float, float]]]], path: Path) -> None:
    """One panel for each (title, [(model, value, low, high)]), a bar a model with its interval, the best on top."""
    height = 1.2 + 0.35 * max(len(bars) for _, bars in panels)
    figure, axes = canvas(5 * len(panels), height, len(panels))
    for one, (title, bars) in zip(axes, panels, strict=True):
        ordered = sorted(bars, key=lambda bar: bar[1])
        values = [value for _, value, _, _ in ordered]
        errors = [[v - low for _, v, low, _ in ordered], [high - v for _, v, _, high in ordered]]
        one.barh([name for name, *_ in ordered], values, color=INK, xerr=errors, ecolor="#ca6702", capsize=3)
        one.set(xlim=(0, 1), title=title)
        for place, (_, value, _, high) in enumerate(ordered):
            one.text(min(0.97, high + 0.02), place, f"{value:.3f}", va="center", fontsize=8)
    figure.savefig(path, dpi=110)
