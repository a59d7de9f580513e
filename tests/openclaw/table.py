"""The table of the trials: a row for each release and trial, the gateway bare and behind the proxy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from openclaw.trials import Outcome

ROUTES = ("bare", "proxy")
HEAD = ("release", "trial", "API", "forks", "failed or unanswered", "last turn was shown")


@dataclass
class Table:
    """The outcomes so far: release, trial and API, then the route."""

    outcomes: dict[tuple[str, str, str], dict[str, list[Outcome]]] = field(default_factory=dict)

    def add(self, release: str, trial: str, api: str, route: str, outcomes: list[Outcome]) -> None:
        self.outcomes.setdefault((release, trial, api), {})[route] = outcomes

    def markdown(self) -> str:
        """Return the table; every cell reads `bare | proxy`, as two columns."""
        titles = [*HEAD[:3], *(f"{title}: {route}" for title in HEAD[3:] for route in ROUTES)]
        lines = [titles, ["---"] * len(titles)]
        for names, routes in self.outcomes.items():
            cells = [_cells(routes[route]) if route in routes else ("",) * 3 for route in ROUTES]
            lines.append([*names, *(cell for pair in zip(*cells, strict=True) for cell in pair)])
        return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *self._notes()])

    def _notes(self) -> list[str]:
        """Return a line for each reason of failures, and for each of the gateway's own."""
        reasons: Counter[str] = Counter()
        for (release, *_), routes in self.outcomes.items():
            for route, outcomes in routes.items():
                for outcome in outcomes:
                    reasons.update(f"{release} {route}: `{_shortened(line)}`" for line in outcome.failures)
                    own = (
                        f"{release} {route}, the gateway's own: `{_shortened(line)}`" for line in outcome.own_failures
                    )
                    reasons.update(own)
        return [f"- {count} x {reason}" for reason, count in sorted(reasons.items())]


def _cells(outcomes: list[Outcome]) -> tuple[str, str, str]:
    forks = sum(outcome.sessions > 1 for outcome in outcomes)
    failed, sent = sum(len(outcome.failures) for outcome in outcomes), sum(outcome.messages for outcome in outcomes)
    own = sum(len(outcome.own_failures) for outcome in outcomes)
    shown = Counter(f"{outcome.shown} of {outcome.messages}" for outcome in outcomes)
    return (
        f"{forks} of {len(outcomes)}",
        f"{failed} of {sent}" + (f", {own} of its own" if own else ""),
        ", ".join(text if len(shown) == 1 else f"{count} x {text}" for text, count in sorted(shown.items())),
    )


def _shortened(line: str) -> str:
    """Return the line without ids and times, so that equal failures are counted together."""
    import re

    line = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{24,}\b", "<id>", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+Z-]+|\b\d{10,13}\b", "<time>", line)
    return line[:120].replace("|", "\\|")
