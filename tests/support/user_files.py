"""Files as teams have them: the seventeen shapes of labelled sets that a new user brought.

Each is written by a function of its own from a few sentences and labels, so that nothing of a real
person is in them. `FILES` maps a file's name to its bytes.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import cycle, islice

SHOP = {
    "shipping": (
        "where is my parcel {}",
        "track order {} from the shop",
        "parcel {} never arrived",
    ),
    "billing": ("I was charged twice for order {}", "refund invoice {} please", "wrong sum on {}"),
    "account": (
        "cannot sign in as user {}",
        "reset the password of account {}",
        "close account {}",
    ),
}
GERMAN = {
    "Lieferung": ("Wo bleibt mein Paket {}?", "Die „schnelle“ Lieferung {} kam nie an"),
    "Rechnung": ("Die Rechnung {} ist falsch", "Bitte erstatten Sie die Gebühr für {}"),
    "Konto": ("Ich kann mich nicht anmelden, Konto {}", "Passwort für {} zurücksetzen"),
}
JAPANESE = {
    "配送": ("荷物{}はどこですか", "注文{}がまだ届きません"),
    "請求": ("請求書{}の金額が間違っています", "{}を二重に請求されました"),
    "口座": ("アカウント{}にログインできません", "パスワード{}を再設定したい"),
}
REVIEWS = {
    "5": "Loved it, works every single day, item {}",
    "4": "Good value and quick delivery, item {}",
    "3": "It is fine, nothing special, item {}",
    "2": "Rather weak, stopped working soon, item {}",
    "1": "Terrible, broke on the first day, item {}",
}


def labelled(sentences: dict[str, Sequence[str]], rows: int) -> list[tuple[str, str]]:
    """Return pairs of a text and its label, the labels in turn."""
    pairs = [(text, label) for label, texts in sentences.items() for text in texts]
    return [
        (text.format(100 + i), label) for i, (text, label) in enumerate(islice(cycle(pairs), rows))
    ]


def delimited(
    header: Sequence[str] | None,
    rows: Iterable[Sequence[str]],
    delimiter: str = ",",
    end: str = "\n",
) -> str:
    """Return a table with a delimiter, without a header where it is None."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([header, *rows] if header else rows)
    return out.getvalue()


def lines(records: Iterable[object]) -> bytes:
    """Return JSON Lines."""
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()


def chat(text: str, label: str) -> dict[str, object]:
    """Return a row of OpenAI's format for fine-tuning."""
    system = "Route the request to shipping, billing or account."
    roles = (("system", system), ("user", text), ("assistant", label))
    return {"messages": [{"role": role, "content": content} for role, content in roles]}


def crm(rows: int = 90) -> str:
    """Return an export of a customer system in seven columns."""
    header = ["Case ID", "Created At", "Customer", "Priority", "Subject", "Description", "Team"]
    cells = []
    for i, (text, label) in enumerate(labelled(SHOP, rows)):
        day = date(2024, 1, 1) + timedelta(days=i)
        about = ("Question", "Urgent request", "Please help")[i % 3]
        cells.append(
            (f"C-{1000 + i}", f"{day:%m/%d/%Y} {i % 12 + 1}:05 PM", f"Customer {i % 20}",
             ("low", "high")[i % 2], f"{about} about {i}", f"Hello, {text}. Thank you.", label)
        )  # fmt: skip
    return delimited(header, cells)


def _files() -> dict[str, bytes]:
    german, shop = labelled(GERMAN, 60), labelled(SHOP, 60)
    numbered = [(str(i), text, label) for i, (text, label) in enumerate(german, 1)]
    header = ("Nr", "Nachricht", "Kategorie")
    broken = "text;label\n" + "".join(f"„{t}“;{c}\n" for t, c in german[:25]) + "„a; b“;Konto;\n"
    reviews = [(REVIEWS[str(i % 5 + 1)].format(i // 5), str(i % 5 + 1)) for i in range(150)]
    payments = [
        (f"card payment {i} at a shop in town {i % 7}", str(int(i % 33 == 0))) for i in range(400)
    ]
    dirty = [(t, {"billing": "CALLS", "account": "Calls"}.get(c, " ")) for t, c in shop[:24]]
    typo = [(t, "wether" if i == 5 else c) for i, (t, c) in enumerate(shop)]
    nested = [
        {"ticket": {"body": t, "lang": "en"}, "meta": {"label": c, "n": i}}
        for i, (t, c) in enumerate(shop)
    ]
    several = [(t, f"{c};billing" if i % 4 == 0 else c) for i, (t, c) in enumerate(shop)]
    return {
        "german.csv": delimited(header, numbered, ";").encode(),
        "quoted.csv": broken.encode(),
        "excel_utf8.csv": delimited(header, numbered, ";", "\r\n").encode("utf-8-sig"),
        "excel_ansi.csv": delimited(header, numbered, ";", "\r\n").encode("cp1252"),
        "excel_unicode.txt": delimited(header, numbered, "\t", "\r\n").encode("utf-16"),
        "intents.tsv": delimited(("utterance", "intent"), shop, "\t").encode(),
        "nested.jsonl": lines(nested),
        "messages.jsonl": lines(chat(*row) for row in shop),
        "array.json": json.dumps([{"message": t, "team": c} for t, c in shop]).encode(),
        "tags.csv": delimited(("text", "tags"), several).encode(),
        "stars.csv": delimited(("review", "stars"), reviews).encode(),
        "rare.csv": delimited(("message", "is_fraud"), payments).encode(),
        "japanese.csv": delimited(("本文", "ラベル"), labelled(JAPANESE, 48)).encode(),
        "dirty.csv": delimited(("message", "topic"), dirty).encode(),
        "near_spelling.csv": delimited(("message", "topic"), typo).encode(),
        "headerless.csv": delimited(None, shop).encode(),
        "crm.csv": crm().encode(),
        "twelve.csv": delimited(("text", "label"), shop[:12]).encode(),
        "fake.xlsx": b"PK\x03\x04" + b"\0" * 200,
        "empty.csv": b"",
        "one_label.csv": delimited(("message", "team"), [(t, "a") for t, _ in shop]).encode(),
        "team.csv": delimited(("message", "team"), shop).encode(),
    }  # fmt: skip


FILES = _files()
