"""A stand-in for AWS's Price List API: it answers GetProducts on a port of its own, from products that it is given.

It is not AWS. Its products have the documented shape (the example of GetProducts in botocore) and usage types as
AWS's public price lists have them; their prices are made up, so that none can be taken for a real one.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = 2
"""Products of one page, so that every longer answer has several."""
Product = Mapping[str, Any]


def product(
    service: str, usage: str, region: str, price: str | list[tuple[str, str]], **attributes: str
) -> Product:
    """``price``: dollars of a unit, or (beginning of a range, dollars) of each range."""
    ranges = [("0", price)] if isinstance(price, str) else price
    sku = f"SKU{abs(hash((service, usage, region))) % 10**10}"
    return {
        "product": {
            "productFamily": "Some",
            "attributes": {"servicecode": service, "usagetype": usage, "regionCode": region, **attributes},
            "sku": sku,
        },
        "serviceCode": service,
        "terms": {
            "OnDemand": {
                f"{sku}.JRTCKXETXF": {
                    "priceDimensions": {
                        f"{sku}.JRTCKXETXF.{number}": {
                            "unit": "Hrs",
                            "beginRange": begin,
                            "endRange": "Inf",
                            "description": "made up",
                            "pricePerUnit": {"USD": dollars},
                        }
                        for number, (begin, dollars) in enumerate(ranges)
                    },
                    "sku": sku,
                    "effectiveDate": "2026-09-01T00:00:00Z",
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": "20260901000000",
        "publicationDate": "2026-09-01T00:00:00Z",
    }


@contextmanager
def price_list(products: list[Product], refuse: str = "") -> Iterator[str]:
    """Its address while it runs. ``refuse`` is the code of the error that it answers everything with."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
            body: dict[str, Any] = {"__type": refuse, "message": "not allowed"}
            if not refuse:
                body = _page(products, asked)
            text = json.dumps(body).encode()
            self.send_response(400 if refuse else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """A test's output stays its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _page(products: list[Product], asked: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {one["Field"]: one["Value"] for one in asked.get("Filters", ())}
    found = [
        json.dumps(one)
        for one in products
        if one["serviceCode"] == asked["ServiceCode"] and wanted.items() <= one["product"]["attributes"].items()
    ]
    start = int(asked.get("NextToken", "0"))
    more = {"NextToken": str(start + PAGE)} if start + PAGE < len(found) else {}
    return {"FormatVersion": "aws_v1", "PriceList": found[start : start + PAGE], **more}
