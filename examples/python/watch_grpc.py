#!/usr/bin/env python3
"""A client of Tickwire over gRPC, for backend services: one call, and frames until it ends.

    pip install -r requirements.txt
    python watch_grpc.py stock.AAPL 'crypto.*'
    python watch_grpc.py --address ticks.example:443 --ca ca.pem --token "$TOKEN" 'soccer.#'

What is wanted is said once, in the request. A call that is read slowly gets fewer records, each the newest: nothing queues up for it.
"""

import argparse
import importlib
import sys

import grpc

from watch import HEARTBEAT_MS, Instrument, item, report, session

messages, services = (importlib.import_module(f"tickwire.v1.ticker_pb2{suffix}") for suffix in ("", "_grpc"))


def connect(arguments):
    if arguments.ca is None:
        return grpc.insecure_channel(arguments.address)
    with open(arguments.ca, "rb") as file:
        return grpc.secure_channel(arguments.address, grpc.ssl_channel_credentials(root_certificates=file.read()))


def watch(arguments, channel):
    request = messages.SubscribeRequest(
        items=[item(text) for text in arguments.symbols],
        conflate_ms=arguments.conflate,
        heartbeat_ms=HEARTBEAT_MS,
    )
    metadata = [("authorization", f"Bearer {arguments.token}")] if arguments.token else []
    call = services.TickerStub(channel).Subscribe(request, metadata=metadata, timeout=arguments.timeout)
    instruments, shown = {}, 0
    for frame in call:
        for info in frame.infos:
            instruments.setdefault(info.id, Instrument(info)).info = info
        report(frame)
        for update in frame.updates:
            instrument = instruments.get(update.id)
            if instrument is not None:
                instrument.apply(update)
                shown += 1
                print(instrument, flush=True)
                if shown == arguments.count:
                    call.cancel()
                    return


def main():
    parser = argparse.ArgumentParser(description="Show live values of Tickwire over gRPC.")
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="symbols or patterns, such as stock.AAPL or 'crypto.*'")
    parser.add_argument("--address", default="127.0.0.1:7447")
    parser.add_argument("--ca", metavar="FILE", help="certificates to trust (PEM); the connection is encrypted then")
    parser.add_argument("--token", help="bearer token, where the server asks for one")
    parser.add_argument("--conflate", type=int, default=250, metavar="MS", help="shortest time between two records of an instrument")
    parser.add_argument("--count", type=int, metavar="N", help="end after N records")
    parser.add_argument("--timeout", type=float, metavar="S", help="deadline of the call, in seconds")
    arguments = parser.parse_args()
    try:
        with connect(arguments) as channel:
            watch(arguments, channel)
    except grpc.RpcError as error:
        # The server's own code is more precise than gRPC's.
        metadata = dict(error.trailing_metadata() or ())
        sys.exit(f"{metadata.get('tickwire-code', error.code().name)}: {error.details()}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
