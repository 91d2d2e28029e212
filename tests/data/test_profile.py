"""Facts about rows: repeats, conflicts, languages, lengths, personal data, thirds of time."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from choose.check.measurements import periods_of
from choose.data.duplicates import (
    conflicting_texts,
    count_duplicates,
    duplicates_across,
    duplicates_within,
    index_texts,
)
from choose.data.duplicates import count_conflicts as counted_conflicts
from choose.data.findings import balance_of, hardly_counted, lengths_of
from choose.data.languages import NO_LETTERS, UNKNOWN, language_of, languages_of
from choose.data.personal_data import hints_by_row, hints_of
from choose.types import Example


def rows(*texts: str, targets: str = "") -> list[Example]:
    labels = targets or "x" * len(texts)
    return [
        Example(id=f"r{i}", text=t, target=label)
        for i, (t, label) in enumerate(zip(texts, labels, strict=True))
    ]


LONG = "the printer on the second floor jams whenever somebody copies more than twenty pages of it"


def test_each_row_counts_once_under_its_closest_likeness() -> None:
    found = rows(
        "where is my card",
        "where is my card",
        "Where is my CARD?!",
        LONG,
        f"{LONG} again",
        "nothing like the others",
    )
    repeats = duplicates_within(found, index_texts(found))
    assert [(r.id, r.likeness) for r in repeats] == [
        ("r0", "exact"),
        ("r1", "exact"),
        ("r2", "normalised"),
        ("r3", "near"),
        ("r4", "near"),
    ]
    counts = count_duplicates(repeats, chain=3)
    assert (counts.exact, counts.normalised, counts.near, counts.all) == (2, 1, 2, 5)
    assert {r.id: r.of for r in repeats}["r4"] == "r3"


def test_across_counts_test_rows_only_and_names_the_pool_row() -> None:
    pool = rows("block my card now", "what is the rate", LONG)
    asked = [
        Example(id="t0", text="Block my card now!", target="x"),
        Example(id="t1", text="fresh", target="x"),
        Example(id="t2", text="fresh", target="x"),
        Example(id="t3", text=f"{LONG} please", target="x"),
    ]
    found = duplicates_across(asked, pool, index_texts([*pool, *asked]))
    assert [(r.id, r.likeness, r.of) for r in found] == [
        ("t0", "normalised", "r0"),
        ("t3", "near", "r2"),
    ]


def test_conflicts_count_rows_that_no_model_can_get_right() -> None:
    found = conflicting_texts(rows("a  b", "A b", "a B", "c", "c", "d", targets="xxyxyx"))
    counts = counted_conflicts(found)
    assert (counts.texts, counts.rows, counts.lost) == (2, 5, 2)


def test_balance_golden() -> None:
    found = balance_of(rows(*"abcdefgh", targets="xxxxyyyz"))
    assert [(c.name, c.rows) for c in found.counts] == [("x", 4), ("y", 3), ("z", 1)]
    assert found.majority == 0.5
    assert found.few == ("x", "y", "z")


def test_lengths_golden() -> None:
    found = lengths_of(rows("one", "one two", "one two three", " ".join(["w"] * 300)))
    assert (found.words, found.longest, found.long) == (2.5, 300, 1)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I am still waiting for the card that you sent me", "English"),
        ("Wo finde ich die Rechnung für den letzten Monat? Ich habe sie nicht.", "German"),
        ("Bonjour, je ne trouve pas la facture de ce mois dans votre page", "French"),
        ("Hola, no puedo ver los datos de mi cuenta en la página", "Spanish"),
        ("Não consigo ver os dados da minha conta, você pode ajudar?", "Portuguese"),
        ("Non riesco a vedere i dati della mia carta, perché?", "Italian"),
        ("Ik kan de gegevens van mijn rekening niet zien op de site", "Dutch"),
        ("Jag kan inte se mitt konto och det är fel på sidan", "Swedish"),
        ("Nie mogę się zalogować do mojego konta i nie wiem dlaczego", "Polish"),
        ("Bu kart ile ne zaman ödeme yapabilirim, neden çok pahalı?", "Turkish"),
        ("どこでカードを受け取れますか", "Japanese"),
        ("我的银行卡在哪里", "Han"),
        ("카드는 어디에 있나요", "Korean"),
        ("Где моя карта? Я её потерял", "Russian"),
        ("Где моя карта?", UNKNOWN),
        ("Де моя картка? Я її загубив", "Ukrainian"),
        ("που είναι η κάρτα μου", "Greek"),
        ("أين بطاقتي", "Arabic"),
        ("card lost", UNKNOWN),
        (" ".join(["alpha beta gamma delta kappa"] * 8) + " o e as", UNKNOWN),
        ("12345 ???", NO_LETTERS),
        ("", NO_LETTERS),
    ],
)
def test_languages_of_texts(text: str, language: str) -> None:
    assert language_of(text) == language


SENTENCES = {
    "English": "where is my card|my parcel never arrived|can you reset my password please"
    "|The invoice is wrong again|how do I close the account",
    "German": "Wo ist meine Karte?|Das Paket ist nie angekommen|Bitte Passwort zurücksetzen"
    "|Die Rechnung stimmt nicht|Wie kündige ich mein Konto?",
    "French": "Où est ma carte ?|Mon colis n'est jamais arrivé|Je veux changer de mot de passe"
    "|La facture est fausse|Comment fermer mon compte ?",
    "Spanish": "¿Dónde está mi tarjeta?|Mi paquete nunca llegó|Quiero cambiar la contraseña"
    "|La factura está mal otra vez|¿Cómo cierro la cuenta?",
    "Italian": "Dov'è la mia carta?|Il pacco non è mai arrivato|Vorrei cambiare la password"
    "|La fattura è sbagliata|Come chiudo il conto?",
    "Portuguese": "Onde está o meu cartão?|A encomenda nunca chegou|Quero mudar a minha senha"
    "|A fatura está errada outra vez|Como encerro a conta?",
    "Dutch": "Waar is mijn pas?|Het pakket is nooit aangekomen|Ik wil mijn wachtwoord wijzigen"
    "|De factuur klopt weer niet|Hoe sluit ik mijn rekening?",
    "Polish": "Gdzie jest moja karta?|Paczka nigdy nie dotarła|Chcę zmienić hasło"
    "|Faktura znowu jest błędna|Jak zamknąć konto?",
}


def test_short_sentences_are_identified() -> None:
    """36 of 40 at least, and none wrongly; a vote of function words identified 13."""
    found = [
        (language, language_of(text))
        for language, texts in SENTENCES.items()
        for text in texts.split("|")
    ]
    assert sum(language == named for language, named in found) >= 36
    assert all(named in (language, UNKNOWN) for language, named in found)


def test_without_the_model_scripts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("choose.data.languages._identifier", lambda: None)
    assert language_of("Где моя карта?") == "Cyrillic"
    assert language_of("where is my card") == UNKNOWN


def test_counts_of_many_rows_come_from_a_sample() -> None:
    found = languages_of(rows(*["where is my card", "Wo ist meine Karte?"] * 6_000))
    assert {x.name: x.rows for x in found.found} == {"English": 6_000, "German": 6_000}


def test_unspaced_scripts_are_noticed() -> None:
    assert languages_of(rows("我的银行卡在哪里", "どこでカードを", "where is my card")).unspaced
    assert not languages_of(rows("I am here and you are not", "card")).unspaced


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to ann.o@example.co.uk please", ["e-mail address"]),
        ("@home and a @ b", []),
        ("call +44 20 7946 0958", ["phone number"]),
        ("call (555) 123-4567 x2", ["phone number"]),
        ("order 20241231 of 2024-12-31 10:15:30", []),
        ("order 4471998", []),
        ("version 4.2.3.4471", []),
        # A network's published test number, and the same with another check digit.
        ("card 4242 4242 4242 4242", ["payment card number"]),
        ("card 4242 4242 4242 4241", []),
        # Luhn's digit is right, but no network gives out such a number.
        ("build 1000000000000008", []),
        ("IBAN GB82 WEST 1234 5698 7654 32", ["bank account (IBAN)"]),
        ("IBAN GB83 WEST 1234 5698 7654 32", []),
        ("key AKIA" + "A" * 16, ["key or token"]),
        ("ghp_" + "a1" * 18, ["key or token"]),
        ("task-force and risk-averse people", []),
        ("-----BEGIN RSA PRIVATE KEY-----", ["key or token"]),
    ],
)
def test_personal_data_hints(text: str, kinds: list[str]) -> None:
    assert [kind for _, kind in hints_by_row(rows(text))] == kinds


def test_personal_data_in_a_further_input_is_seen() -> None:
    """It is sent to an endpoint with the text."""
    [row] = rows("none")
    sender = replace(row, fields={"sender": "a@example.com"})
    assert [kind for _, kind in hints_by_row([sender])] == ["e-mail address"]


def test_hints_hold_counts_and_nothing_that_was_matched() -> None:
    found = rows("a@example.com b@example.com", "c@example.com", "none")
    hints = {hint.name: hint.rows for hint in hints_of(hints_by_row(found))}
    assert hints["e-mail address"] == 2
    assert hints["key or token"] == 0
    assert "example" not in repr(hints_of(hints_by_row(found)))


@pytest.mark.parametrize("piece", ["1 ", "a@", "eyJ-", "A1", "1-", "@a.", "sk-"])
def test_no_text_makes_the_search_slow(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.process_time()
    hints_by_row(rows(text))
    language_of(text)
    assert time.process_time() - start < 5


def dated(count: int, days: int = 1) -> list[Example]:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    return [
        Example(
            id=f"r{i}",
            text=f"text {i}",
            target="new" if i >= 0.8 * count else "old",
            timestamp=start + timedelta(days=i // days),
        )
        for i in range(count)
    ]


def test_thirds_are_apart_in_time_and_name_new_labels() -> None:
    found = periods_of(dated(90))
    assert (len(found.early), len(found.late)) == (30, 30)
    assert max(e.timestamp for e in found.early) < min(e.timestamp for e in found.late)
    assert (found.appeared, found.vanished) == (("new",), ())


def test_no_thirds_without_enough_dates() -> None:
    assert periods_of(dated(59)) is None
    assert periods_of(dated(90, days=90)) is None
    few = dated(90)
    assert periods_of([*few, *rows(*["undated"] * 10)]) is None


def test_labels_that_accuracy_hardly_counts() -> None:
    """At 3 % of two labels, 2 % of three; not one of 77 equally common ones, nor four rows."""

    def hidden(**counts: int) -> list[str]:
        rows = [
            Example(id=f"{label}{i}", text="t", target=label)
            for label, n in counts.items()
            for i in range(n)
        ]
        return [count.name for count in hardly_counted(balance_of(rows))]

    assert hidden(fraud=12, no=388) == ["fraud"]
    assert hidden(a=60, b=38, c=8) == ["c"]
    assert hidden(a=30, b=70) == []
    assert hidden(**{f"l{i}": 10 for i in range(77)}) == []
    assert hidden(rare=4, no=396) == []
