"""The part of a scorecard on a model behind an endpoint: how it is served and how it fails."""

from __future__ import annotations

from choose.judge.frozen import Record


class Service(Record):
    """What was seen of a model behind an endpoint, on the clean rows.

    Attributes:
        behind: the model as the server calls it, and the server.
        latency_p50: seconds from a request to its answer, half of them; waits for one's turn and
            repeated requests left out.
        latency_p95: the same for 95 of 100.
        concurrency: requests in flight at once meanwhile.
        cached_share: of the tokens read, those that a prefix cache served.
        refused: share of the rows that the server or the model would not answer.
        empty: share without an answer.
        cut: share whose answer was cut off.
        off_list: share answered with what is no label.
        instability: share of rows that did not get the same answer each time they were asked.
        repeats: how often they were.
        repeated_rows: how many rows were.
    """

    behind: str
    latency_p50: float | None = None
    latency_p95: float | None = None
    concurrency: int | None = None
    cached_share: float | None = None
    refused: float = 0.0
    empty: float = 0.0
    cut: float = 0.0
    off_list: float = 0.0
    instability: float | None = None
    repeats: int = 1
    repeated_rows: int = 0
