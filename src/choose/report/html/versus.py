"""Two studies side by side, as one page that needs nothing else."""

from __future__ import annotations

from choose.judge.versus import Versus
from choose.report.html.charts import intervals
from choose.report.html.figures import Figure
from choose.report.html.page import environment
from choose.report.versus import words


def render_versus_html(versus: Versus) -> str:
    """Return the comparison as a self-contained HTML page; text from data is escaped."""
    template = environment().get_template("versus.html.j2")
    return template.render(v=versus, words=words, figure=_figure(versus), heads=words.HEADS)


def _figure(versus: Versus) -> Figure | None:
    """Draw what every candidate gained, against zero and the margin."""
    rows = [(words.who(s), s.difference) for s in versus.shifts if not s.same_fits]
    if not rows:
        return None
    caption = (
        "Right of the line is better now, left of it worse; a range that touches the line shows no "
        "change, and one wholly inside the shaded band shows that there is none that matters."
    )
    return intervals(rows, versus.margin, "What each candidate gained", caption)
