"""A football feed that knows nothing of Tickwire: a message for each change of a match, in a JSON of its own.

    python football.py --amqp amqp://127.0.0.1:5672/%2f

`football.toml` beside it says how the server reads them.
"""

import argparse
import json
import time

import pika

MATCH = "soccer.epl.ARS-CHE"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--amqp", default="amqp://127.0.0.1:5672/%2f", help="URL of the broker")
    arguments.add_argument("--exchange", default="tickwire.feed", help="exchange to publish to (default: %(default)s)")
    arguments = arguments.parse_args()
    connection = pika.BlockingConnection(pika.URLParameters(arguments.amqp))
    channel = connection.channel()
    channel.confirm_delivery()

    def say(goals, period, clock, running, corners, state, home, draw, away, won=None):
        names = ((1, home), (2, draw), (3, away))
        selections = [{"id": number, "price": price, "size": 500, "on": int(state == "open")} for number, price in names]
        for selection in selections:
            if won is not None:
                selection["won"] = 1 if selection["id"] == won else 2
        message = {
            "goals": goals,
            "period": period,
            "clock": clock,
            "running": running,
            "corners": corners,
            "markets": [{"name": "1x2", "state": state, "selections": selections}],
            "ts": time.time_ns() // 1_000_000,
        }
        channel.basic_publish(arguments.exchange, MATCH, json.dumps(message).encode(), mandatory=True)
        time.sleep(0.002)

    say([0, 0], "1H", 0, 1, [0, 0], "open", "2.10", "3.40", "3.60")
    say([0, 0], "1H", 1_829, 1, [3, 1], "open", "2.25", "3.10", "3.70")
    say([1, 0], "1H", 1_830, 1, [3, 1], "suspended", "2.25", "3.10", "3.70")
    say([1, 0], "1H", 1_890, 1, [3, 1], "open", "1.48", "4.20", "7.50")
    say([1, 0], "HT", 2_700, 0, [4, 2], "open", "1.45", "4.30", "8.00")
    say([1, 0], "2H", 2_700, 1, [4, 2], "open", "1.44", "4.30", "8.20")
    say([1, 0], "FT", 5_655, 0, [7, 5], "settled", "1.01", "100", "200", won=1)
    connection.close()


if __name__ == "__main__":
    main()
