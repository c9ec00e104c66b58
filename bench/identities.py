"""Identities that are planted, and the bodies that they come in."""

import base64
import json
import random
from urllib.parse import quote

FIRST = (
    "Žofie",
    "Łukasz",
    "Siobhán",
    "Jean d'Arc",
    "José María",
    "Abdul bin Rashid",
    "Jane",
    "Olu",
    "Mary-Ann",
    "José",
    "Søren",
    "Priya",
    "Wei",
    "Anna Maria",
    "D'Angelo",
    "Ngozi",
)
LAST = (
    "van 't Hoff",
    "Żółkiewski",
    "Ó Súilleabháin",
    "zu Solms",
    "al-Maktoum",
    "de la Cruz y García",
    "Doe",
    "O'Neil",
    "García",
    "van der Berg",
    "Müller",
    "Okafor",
    "Nguyen",
    "Smith-Jones",
    "Kowalski",
)


class People:
    """Draws identities, each with a part that is searched for: it is nowhere else."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def digits(self, count: int) -> str:
        return "".join(str(self.random.randrange(10)) for _ in range(count))

    def ssn(self) -> str:
        separator = self.random.choice(("-", " ", ".", "/", "_", " - ", "·", "−"))
        area, group, serial = (
            self.random.randrange(1, 666),
            self.random.randrange(1, 100),
            self.random.randrange(1, 9999),
        )
        return f"{area:03d}{separator}{group:02d}{separator}{serial:04d}"

    def iban(self) -> str:
        country, length = self.random.choice((("DE", 22), ("NL", 18), ("FR", 27), ("NO", 15), ("GB", 22)))
        basic = self.digits(length - 4)
        number = int("".join(str(int(one, 36)) for one in f"{basic}{country}00"))
        whole = f"{country}{98 - number % 97:02d}{basic}"
        if self.random.random() < 0.5:
            whole = self.random.choice((" ", "-", "\u00a0", "/")).join(
                whole[at : at + 4] for at in range(0, length, 4)
            )
        return whole.lower() if self.random.random() < 0.2 else whole

    def email(self) -> str:
        host = self.random.choice(("mail.example.com", "example.de", "müller.example", "xn--mller-kva.example"))
        return f"u{self.digits(9)}{self.random.choice(('', '+hr', '.x'))}@{host}"

    def phone(self) -> str:
        return self.random.choice(
            (
                f"+{self.random.randrange(1, 99)} {self.digits(3)} {self.digits(7)}",
                f"({self.digits(3)}) {self.digits(3)}-{self.digits(4)}",
                f"{self.digits(3)}.{self.digits(3)}.{self.digits(4)}",
                f"+{self.random.randrange(1, 99)}{self.digits(10)}",
                f"({self.digits(3)}) {self.digits(3)}-{self.digits(4)} ext. {self.digits(3)}",
                f"+91-{self.random.randrange(6, 10)}{self.digits(4)}-{self.digits(5)}",
                f"0171/{self.digits(8)}",
            )
        )

    def name(self) -> str:
        return f"{self.random.choice(FIRST)} {self.random.choice(LAST)}"

    def tax_number(self) -> str:
        """Of the United States, Germany, India, Britain and Brazil."""
        letters = [self.random.choice("ABCDEFGHJK") for _ in range(5)]
        return self.random.choice(
            (
                f"{self.digits(2)}-{self.digits(7)}",
                f"{self.digits(2)} {self.digits(3)} {self.digits(3)} {self.digits(3)}",
                f"{self.digits(2)}/{self.digits(3)}/{self.digits(5)}",
                f"{letters[0]}{letters[1]}{letters[2]}P{letters[3]}{self.digits(4)}{letters[4]}",
                f"{self.random.randrange(2, 10)}{self.digits(3)}-{self.digits(4)}-{self.digits(4)}",
                f"QQ{self.digits(6)}C",
                f"{self.digits(3)}.{self.digits(3)}.{self.digits(3)}-{self.digits(2)}",
            )
        )

    def any(self) -> str:
        kinds = (self.ssn, self.iban, self.email, self.phone, self.name, self.tax_number)
        return self.random.choice(kinds)()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def wrap_in(people: People, text: str) -> tuple[bytes, bytes]:
    """One of the ways in which an identity comes in a body: content type and body."""
    amount = round(people.random.random() * 5000, 2)
    kind = people.random.randrange(11)
    if kind == 0:
        return b"text/csv", f"{amount},{_quoted(text)},1\n".encode()
    if kind == 1:
        return b"text/csv", f"a,b\n1,2\n3,{_quoted(text)}\n".encode()
    document: object = {
        2: {"instances": [[amount, text]]},
        3: {"employee": {"contact": [{"value": text}]}, "amount": amount},
        4: {"note": f"please pay {text} today, it is urgent"},
        5: {text: amount},
        6: {"inner": json.dumps({"v": text}), "amount": amount},
        7: {"query": f"who={quote(text)}"},
        8: {"packed": base64.b64encode(f"{amount},{_quoted(text)},1".encode()).decode()},
        9: {"key": text, "value": amount, "lines": f"pay\n{text}\ntoday"},
        10: {"rows": [["a", json.dumps({"deep": json.dumps({"v": [text]})})]]},
    }[kind]
    return b"application/json", json.dumps(document, ensure_ascii=people.random.random() < 0.5).encode()


def find_traces(identity: str) -> set[str]:
    """How an identity would look if it were there: as it is, in JSON, and without its separators."""
    bare = "".join(one for one in identity if one.isalnum())
    return {
        identity,
        json.dumps(identity)[1:-1],
        quote(identity),
        base64.b64encode(identity.encode()).decode().rstrip("=")[:-1],
        *([bare] if any(map(str.isdigit, bare)) else []),
    }
