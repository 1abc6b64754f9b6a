"""A Tickwire feed in Python: publishes JSON to RabbitMQ and loses nothing.

    python publisher.py                                            # a random walk of three stocks, until Ctrl-C
    python publisher.py stock.AAPL '{"quote":{"last":"187.42"}}'   # one message
    some-program | python publisher.py -                           # one message a line: SYMBOL JSON

What makes it a good feed:

- confirms and `mandatory`: a message that no log took comes back and is sent again;
- one message at a time and one channel, so that the order is kept;
- a new connection after a failure, for ever, and the message that was under way first;
- signs of life every second, also while nothing changes;
- prices as decimal strings, never floats.
"""

import argparse
import json
import random
import sys
import time

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

ALIVE_INTERVAL_S = 1.0
RETRY_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


class Feed:
    """Publishes messages under a name, in order, each until it is stored."""

    def __init__(self, url, name, exchange="tickwire.feed"):
        self.parameters = pika.URLParameters(url)
        self.name = name
        self.exchange = exchange
        self.number = 0
        self.connection = None
        self.channel = None

    def publish(self, symbol, message):
        """Returns when the log has the message."""
        self.number += 1
        numbered = {
            **message,
            "publisher": self.name,
            "publisher_seq": str(self.number),
            "ts_publish_us": str(time.time_ns() // 1000),
        }
        body = json.dumps(numbered).encode()
        for attempt in range(sys.maxsize):
            try:
                self._connected().basic_publish(self.exchange, symbol, body, PROPERTIES, mandatory=True)
                return
            except (UnroutableError, NackError):
                reason = "no log takes it yet"  # the broker has started, the stream has not; or the server has never run
            except (AMQPError, OSError) as error:
                reason = f"{type(error).__name__} {error}".strip()
                self.channel = None
            if attempt % 10 == 0:
                print(f"message {self.number} waits: {reason}", file=sys.stderr)
            time.sleep(random.uniform(0.7, 1.3) * RETRY_S[min(attempt, len(RETRY_S) - 1)])

    def alive(self, routing_key):
        """A sign of life: the next one comes within the interval."""
        self.publish(routing_key, {"alive": {"publisher": self.name, "interval_ms": int(ALIVE_INTERVAL_S * 1000)}})

    def wait(self, seconds):
        """Sleeps without neglecting the connection."""
        if self.channel is None:
            time.sleep(seconds)
            return
        try:
            self.connection.process_data_events(time_limit=seconds)
        except AMQPError:
            self.channel = None

    def close(self):
        if self.channel is not None:
            self.connection.close()

    def _connected(self):
        if self.channel is None or self.channel.is_closed:
            self.connection = pika.BlockingConnection(self.parameters)
            self.channel = self.connection.channel()
            self.channel.confirm_delivery()
        return self.channel


PROPERTIES = pika.BasicProperties(content_type="application/json", delivery_mode=2)


def walk(feed):
    """Three stocks and their prices in cents."""
    prices = {"AAPL": 18742, "MSFT": 42105, "NVDA": 13110}
    for name, price in prices.items():
        info = {"asset_class": "STOCK", "price_scale": 2, "quantity_scale": 0, "currency": "USD", "display_name": name}
        feed.publish(f"stock.{name}", {"info": info, "updates": [{"flags": 1, "quote": quote(price)}]})
    alive_at = 0.0
    while True:
        if time.monotonic() >= alive_at:
            feed.alive("stock.alive")
            alive_at = time.monotonic() + ALIVE_INTERVAL_S
        name = random.choice(list(prices))
        prices[name] = max(1, prices[name] + random.choice((-2, -1, 1, 2)))
        feed.publish(f"stock.{name}", {"quote": quote(prices[name])})
        feed.wait(random.uniform(0.02, 0.2))


def quote(cents):
    def decimal(value):
        return f"{value // 100}.{value % 100:02d}"

    return {"bid": decimal(cents - 1), "ask": decimal(cents + 1), "last": decimal(cents)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbol", nargs="?", help="the instrument, or - for lines of SYMBOL JSON on standard input")
    parser.add_argument("json", nargs="?", help='such as {"quote":{"last":"187.42"}}')
    parser.add_argument("--amqp", default="amqp://guest:guest@127.0.0.1:5672/%2f", metavar="URL")
    parser.add_argument("--name", default="example", help="name of this publisher")
    options = parser.parse_args()
    feed = Feed(options.amqp, options.name)
    try:
        if options.symbol == "-":
            for line in sys.stdin:
                symbol, text = line.split(maxsplit=1)
                feed.publish(symbol, json.loads(text))
        elif options.symbol is not None:
            feed.publish(options.symbol, json.loads(options.json or "{}"))
        else:
            walk(feed)
    except KeyboardInterrupt:
        pass
    feed.close()


if __name__ == "__main__":
    main()
