"""What the server was asked, what it answered in full, and what it would bill for that."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Receipt:
    """One request: which one it was, asked the n-th time, what went wrong, what it cost.

    `paid` is set once the whole answer has gone out; `after_paid` where that had happened before.
    """

    key: str
    attempt: int
    after_paid: bool
    question: str
    fault: str | None = None
    lie: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    answered: bool = False
    paid: bool = False


class Ledger:
    """The server's own account; a question is identified by everything in its body."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.now = self.peak = self.limited = 0
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._paid: set[str] = set()

    def open(self, body: Mapping[str, Any]) -> Receipt:
        """Note a request as it comes in."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        question = str(body["messages"][-1]["content"])
        with self._lock:
            self._attempts[key] += 1
            receipt = Receipt(key, self._attempts[key], key in self._paid, question)
            self.receipts.append(receipt)
            self.now += 1
            self.peak = max(self.peak, self.now)
        return receipt

    def close(self, receipt: Receipt, taken: bool) -> None:
        """Note how a request ended."""
        with self._lock:
            self.now -= 1
            receipt.paid = receipt.answered and taken
            if receipt.paid:
                self._paid.add(receipt.key)

    @property
    def requests(self) -> int:
        return len(self.receipts)

    @property
    def paid(self) -> list[Receipt]:
        return [receipt for receipt in list(self.receipts) if receipt.paid]

    @property
    def twice(self) -> list[Receipt]:
        """Return requests for what had been answered and paid for before."""
        return [receipt for receipt in list(self.receipts) if receipt.after_paid]

    @property
    def faults(self) -> Counter[str]:
        return Counter(receipt.fault for receipt in list(self.receipts) if receipt.fault)

    def tokens(self) -> Counter[str]:
        """Return the tokens of everything paid for, by kind."""
        total: Counter[str] = Counter()
        for receipt in self.paid:
            total.update(receipt.usage)
        return total
