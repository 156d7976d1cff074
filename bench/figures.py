"""Medians, percentiles, rows and the table they are shown in."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
import statistics
from typing import Any, Final

OURS: Final = "ours"
BARE: Final = "bare"
DIRECT: Final = "direct"
SUBJECTS: Final = (OURS, BARE, DIRECT)
"""Our virtual node, the bare reference, and the simulated radio itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, for each of those that it was measured of."""

    scenario: str
    case: str
    metric: str
    unit: str
    values: dict[str, float]
    """By subject: the median of the rounds."""

    @property
    def ratio(self) -> float | None:
        """How many times the bare reference ours is; None where there is nothing to compare."""
        ours, bare = self.values.get(OURS), self.values.get(BARE)
        return ours / bare if ours is not None and bare else None


@dataclass(slots=True)
class Report:
    """All that one run found out."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def add(
        self, scenario: str, case: str, metric: str, unit: str, **rounds: Sequence[float]
    ) -> None:
        """Add a figure.

        Args:
            scenario: Under which heading.
            case: Of what.
            metric: What was measured.
            unit: Of the figure.
            rounds: By subject: what each round gave.
        """
        values = {who: statistics.median(found) for who, found in rounds.items() if found}
        if values:
            self.rows.append(Row(scenario, case, metric, unit, values))

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "rows": [{**asdict(row), "ratio": row.ratio} for row in self.rows],
            "notes": self.notes,
        }

    def table(self) -> str:
        """Return it as Markdown, a table for each scenario."""
        parts: list[str] = []
        for scenario in dict.fromkeys(row.scenario for row in self.rows):
            parts += [
                f"\n### {scenario}\n",
                "| case | figure | ours | bare | ours / bare | direct |",
                "|---|---|---:|---:|---:|---:|",
            ]
            parts += [_line(row) for row in self.rows if row.scenario == scenario]
        parts += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(parts)


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value below which the given part of all values lies, by the nearest rank.

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _line(row: Row) -> str:
    ours, bare, direct = (_number(row.values.get(who)) for who in SUBJECTS)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    figure = f"{row.metric}, {row.unit}" if row.unit else row.metric
    return f"| {row.case} | {figure} | {ours} | {bare} | {ratio} | {direct} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
