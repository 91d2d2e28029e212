"""Forecast the requests, tokens and dollars of a study at endpoints, without sending anything."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from choose.corpus import GOLD, NOTHING, WORDS
from choose.data.scenarios import Pools
from choose.models.endpoints.handshake import BYTES_PER_TOKEN
from choose.models.endpoints.ledger import Usage, token_cost
from choose.models.endpoints.settings import Endpoint
from choose.schema.plan import Bill, Job, Spending
from choose.strategy import Puts, Searches, SendsPassages, build, hyperparameters
from choose.study.candidates import TEMPLATE, endpoints_of
from choose.tasks.answering import corpus_of
from choose.types import Candidate, Dataset

# Tokens of a request besides texts and labels: wording, schema, message format.
FRAME_TOKENS, MESSAGE_TOKENS = 60, 8

# Tokens of a labelled answer in JSON.
ANSWER_TOKENS = 12


class Request(NamedTuple):
    """A row, the demonstrations in its prompt, and the token limit of a text.

    `passages` are shown with the row, of at most `words` words; `prompt` are the tokens of a prompt
    of the user's.
    """

    id: str
    shown: int
    most: float
    passages: int = 0
    words: int = WORDS
    prompt: int = 0


def spending_of(
    jobs: Iterable[Job],
    candidates: Sequence[Candidate],
    pools: Pools,
    endpoints: Mapping[str, Endpoint],
    limit: float | None = None,
) -> Spending:
    """Forecast the requests of some jobs."""
    asking = {c.name: own for c in candidates if (own := endpoints_of(c, endpoints))}
    requests: dict[str, dict[tuple[object, ...], Request]] = {}
    rows: dict[str, set[str]] = {}
    for job in jobs:
        for name in asking.get(job.trial.candidate, {}):
            _count_job(job, pools, requests.setdefault(name, {}), rows.setdefault(name, set()))
    bills = (
        _bill(name, endpoints[name], own_requests, rows[name], pools.dataset, asking)
        for name, own_requests in requests.items()
    )
    return Spending(bills=tuple(bills), limit=limit)


def _count_job(
    job: Job, pools: Pools, requests: dict[tuple[object, ...], Request], rows: set[str]
) -> None:
    trial = job.trial
    strategy = build(trial.strategy, seed=trial.seed, **trial.params)
    shown = strategy.shows(pools.dataset.task) if isinstance(strategy, Puts) else 0
    most = (hyperparameters(trial.strategy) | dict(trial.params)).get("max_tokens") or inf
    prompt = _tokens(str(trial.params.get(TEMPLATE) or ""))
    read, words = strategy.passages() if isinstance(strategy, SendsPassages) else (0, WORDS)
    place = pools.of(trial)
    asked = 0
    if isinstance(strategy, Searches) and place.pool:
        asked = strategy.asks(pools.dataset.task, len(place.pool))
    # Without demonstrations, or a choice, the request does not depend on the training rows.
    training = (trial.pool, trial.seed) if shown or asked else ()
    how = (trial.strategy, str(sorted(trial.params.items(), key=str)), *training)
    few = max(1, job.view_rows // len(pools.dataset.folds))
    ids = place.questions[: job.ask or None]
    for view in ("clean", *job.views):
        given = {NOTHING: 0, GOLD: min(1, read)}.get(view, read)
        for id in ids if view == "clean" else ids[:few]:  # an equal request is sent once
            requests[*how, view, id] = Request(id, shown, most, given, words, prompt)
    rows.update(ids)
    for number in range(asked):
        id = place.pool[number % len(place.pool)].id
        requests[*how, "search", number] = Request(id, shown, most, read, words, prompt)
    if shown or asked:
        rows.update(e.id for e in place.pool)


def _bill(
    name: str,
    endpoint: Endpoint,
    requests: Mapping[tuple[object, ...], Request],
    rows: set[str],
    dataset: Dataset,
    asking: Mapping[str, Mapping[str, Endpoint]],
) -> Bill:
    read, answer, passages = _tokens_of(list(requests.values()), dataset)
    written = round(len(requests) * answer)
    prices = endpoint.prices
    return Bill(
        name=name,
        host=endpoint.host,
        model=endpoint.model,
        here=endpoint.is_local,
        requests=len(requests),
        read=round(read),
        written=written,
        usd=token_cost(prices, Usage(round(read), 0, written)) if prices else None,
        rows=len(rows),
        passages=passages,
        candidates=tuple(c for c, own in asking.items() if name in own),
    )


def _tokens_of(requests: Sequence[Request], dataset: Dataset) -> tuple[float, float, int]:
    examples = dataset.examples
    texts = {id: sum(map(_tokens, (e.text, *e.fields.values()))) for id, e in examples.items()}
    labels = [_tokens(n) for n in dataset.task.names]
    about = [_tokens(d) for d in dataset.task.descriptions.values()]
    fixed = FRAME_TOKENS + 2 * sum(labels) + sum(about) + _tokens(dataset.task.instruction or "")
    label = sum(labels) / max(1, len(labels))
    answer: float = ANSWER_TOKENS
    if not labels:
        label = answer = sum(_tokens(e.target) for e in examples.values()) / max(1, len(examples))
    means = {
        most: sum(min(size, most) for size in texts.values()) / max(1, len(texts))
        for most in {request.most for request in requests}
    }
    read = sum(
        fixed + prompt + min(texts[id], most) + shown * (means[most] + label + 2 * MESSAGE_TOKENS)
        for id, shown, most, *_, prompt in requests
    )
    passages = Counter[int]()
    for request in requests:
        # A demonstration comes with the passage that holds its answer.
        passages[request.words] += request.passages + request.shown * min(1, request.passages)
    read += sum(count * _passage_tokens(dataset, words) for words, count in passages.items())
    return read, answer, passages.total()


def _passage_tokens(dataset: Dataset, words: int) -> float:
    corpus = corpus_of(dataset.task)
    passages = corpus.passages(words) if corpus is not None else ()
    return sum(_tokens(passage.shown) for passage in passages) / max(1, len(passages))


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
