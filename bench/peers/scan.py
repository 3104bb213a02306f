"""A peer: `elasticsearch.helpers.scan` of the official client. `python bench/peers/scan.py URL INDEX` prints one JSON line."""

from __future__ import annotations

import json
import sys
import time

from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan


def main(url: str, index: str) -> None:
    client = Elasticsearch(url, request_timeout=60)
    begin = time.perf_counter()
    rows = [
        (
            document["_source"]["@timestamp"],
            document["_source"]["message"],
            document["_source"]["service"]["name"],
        )
        for document in scan(client, index=index, query={"query": {"match_all": {}}})
    ]
    print(json.dumps({"rows": len(rows), "s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(*sys.argv[1:])
