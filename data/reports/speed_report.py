"""Speed, size and cost of a model and its variants, beside what they answer right."""

from data.markdown import markdown_table
from data.reports.page import Section
from data.values import JsonObject

THOUSAND = 1000  # answers


def speed_table(speeds: dict[str, JsonObject], price: float) -> str:
    """A row a model. price: of an hour of the machine; 0: unknown, and the costs are left out."""
    header = [
        "speed",
        "weights, MiB",
        "tokens a second",
        "prompts at once",
        "seconds an answer, one at a time",
    ]
    rows: list[list[object]] = []
    for name, speed in speeds.items():
        weights = "-" if speed["weights_mib"] is None else f"{speed['weights_mib']:,.0f}"
        row = [name, weights, f"{speed['tokens_per_second']:,.0f}", speed["together"]]
        row.append(f"{speed['seconds_alone']:.2f}")
        if price:
            row.append(f"{THOUSAND * speed['seconds'] / 3600 * price:.4f}")
        rows.append(row)
    if price:
        header.append(f"cost of {THOUSAND:,} answers at {price:g} an hour")
    return markdown_table(header, rows)


def sections(scores: JsonObject) -> list[Section]:
    """The part of a report; none where nothing was measured."""
    if not scores.get("speed"):
        return []
    return [Section("Speed and size", speed_table(scores["speed"], scores["price"]))]
