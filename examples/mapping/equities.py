"""A feed of equities that knows nothing of Tickwire: batches of ticks in a JSON of its own, compressed.

    python equities.py --amqp amqp://127.0.0.1:5672/%2f

`equities.toml` beside it says how the server reads them.
"""

import argparse
import gzip
import json
from datetime import datetime, timezone

import pika


def tick(kind, ric, **fields):
    return {"kind": kind, "ric": ric, "t": datetime.now(timezone.utc).isoformat(), **fields}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--amqp", default="amqp://127.0.0.1:5672/%2f", help="URL of the broker")
    arguments.add_argument("--exchange", default="tickwire.feed", help="exchange to publish to (default: %(default)s)")
    arguments = arguments.parse_args()
    connection = pika.BlockingConnection(pika.URLParameters(arguments.amqp))
    channel = connection.channel()
    channel.confirm_delivery()

    def publish(*ticks):
        body = gzip.compress(json.dumps({"ticks": ticks}).encode())
        properties = pika.BasicProperties(content_type="text/json", content_encoding="gzip")
        channel.basic_publish(arguments.exchange, "md.equities", body, properties, mandatory=True)

    publish(tick("state", "AAPL", state="T"), tick("state", "MSFT", state="T"))
    for step in range(100):
        publish(
            tick("l1", "AAPL", bid=round(187.00 + step / 100, 2), bidSize=300, ask=round(187.02 + step / 100, 2), px="187.01", cumVol=100 * step),
            tick("l1", "MSFT", bid=421.00, ask=421.05, px="421.00", cumVol=step),
            tick("index", "SPX", level=5_900.25),
        )
    publish(tick("state", "AAPL", state="H", why="T12"))
    connection.close()


if __name__ == "__main__":
    main()
