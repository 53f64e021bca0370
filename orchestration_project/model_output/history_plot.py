"""What a measure was in the batches before: in a line of text, and as a small picture with the limit.

The line stands wherever the check's sentence is read: on its page, in the run's log, in its history. Dagster's UI draws
Markdown shorter than `MOST_CHARACTERS` where it stands in an event, and shows longer one only behind a link. So the
picture is an SVG of whole pixels with as little in it as a reader needs.
"""

import base64
from collections.abc import Sequence

from orchestration_project.model_output.measures import in_figures

MOST_CHARACTERS = 999

MOST_VALUES = 61
"""Values that are drawn, the last ones: those of a whole window, and the batch itself."""

MOST_BARS = 24
"""Bars of a line of text: what the eye takes in, and a log does not break."""

_BARS = "▁▂▃▄▅▆▇█"

_WIDTH, _HIGH, _LOW = 300, 16, 64
"""Pixels: the line's width, and where the highest and the lowest value lie."""


def bars(values: Sequence[float]) -> str:
    """The last values, oldest first, as bars from the lowest to the highest of them.

    >>> bars([1.0, 1.0, 2.0, 8.0])
    '▁▁▂█'
    """
    shown = list(values)[-MOST_BARS:]
    low, high = min(shown), max(shown)
    steps = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(_BARS[round((value - low) / steps)] for value in shown)


def plot(values: Sequence[float], limits: Sequence[float] = (), unit: str = "") -> str:
    """The values, oldest first, as Markdown with a picture in it; `limits` are those that the last one is held to.

    >>> plot([1.0, 2.0])[:34]
    '![history](data:image/svg+xml;base'
    """
    shown = list(values)[-MOST_VALUES:]
    low, high = min([*shown, *limits]), max([*shown, *limits])

    def height(value: float) -> int:
        return round(_LOW - (_LOW - _HIGH) * ((value - low) / (high - low) if high > low else 0.5))

    xs = [round(4 + number * _WIDTH / max(1, len(shown) - 1)) for number in range(len(shown))]
    if len(shown) == 1:
        xs = [4 + _WIDTH]
    points = [(x, height(value)) for x, value in zip(xs, shown, strict=True)]
    dashes = "".join(f"M0 {height(limit)}h{_WIDTH + 8}" for limit in limits)
    lines = f'<path d="{_path(points)}" fill="none" stroke="#48a"/>' + (
        f'<path d="{dashes}" stroke="#c33" stroke-dasharray="4"/>' if dashes else ""
    )
    x, y = points[-1]
    batches = len(shown)
    words = (
        f"{batches} batch{'' if batches == 1 else 'es'}, {in_figures(low)} to {in_figures(high)}{unit and f' {unit}'}"
    )
    words += "; dashed: limit" if limits else ""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + 12}" height="84">'
        f'<path d="M0 0h{_WIDTH + 12}v84H0z" fill="#fff"/>{lines}<circle cx="{x}" cy="{y}" r="4" fill="#c33"/>'
        f'<text x="2" y="80" font-size="11">{words}</text></svg>'
    )
    return f"![history](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _path(points: Sequence[tuple[int, int]]) -> str:
    """The line through the points, each step relative to the one before: that is shortest."""
    (x, y), rest = points[0], points[1:]
    steps = [(own[0] - last[0], own[1] - last[1]) for last, own in zip(points, rest, strict=False)]
    return f"M{x} {y}" + (f"l{''.join(_pair(step) for step in steps).lstrip()}" if steps else "")


def _pair(step: tuple[int, int]) -> str:
    """Two numbers of a path; a minus sign parts them from what stands before."""
    return "".join(f"{number}" if number < 0 else f" {number}" for number in step)
