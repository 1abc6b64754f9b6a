#!/usr/bin/env python3
"""A client of Tickwire without its SDK, made from the schema alone: protobuf frames over a WebSocket.

    pip install -r requirements.txt
    python watch.py stock.AAPL 'crypto.*'
    python watch.py --url ws://127.0.0.1:7447/v1/ws --conflate 1000 --count 10 'soccer.#'

It does what a client must do: Hello first, then Subscribe; keep the newest state of each instrument; apply deltas, images and clears;
notice silence. It leaves reconnecting to you: the SDKs do that, and resume too.
"""

import argparse
import asyncio
import importlib
import pathlib
import sys
import tempfile

import websockets
from grpc_tools import protoc

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "proto"
PROTOCOL = 1
HEARTBEAT_MS = 5_000


def compile_schema():
    """Python classes from the .proto files; in a real project, generate them once and keep them."""
    folder = tempfile.mkdtemp(prefix="tickwire-schema-")
    files = [f"tickwire/v1/{name}.proto" for name in ("market", "session", "ticker")]
    if protoc.main(["protoc", f"-I{SCHEMA}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]) != 0:
        sys.exit("the schema does not compile")
    sys.path.insert(0, folder)
    return importlib.import_module("tickwire.v1.market_pb2"), importlib.import_module("tickwire.v1.session_pb2")


market, session = compile_schema()


class Instrument:
    """The newest state of one instrument: one body per kind."""

    def __init__(self, info):
        self.info = info
        self.bodies = {}

    def apply(self, update):
        kind = update.WhichOneof("body")
        # A trade happens, it is no state; it comes only to those who ask for trades.
        if kind in (None, "trade"):
            return
        newer = getattr(update, kind)
        if update.flags & market.IMAGE or kind not in self.bodies:
            self.bodies[kind] = type(newer)()
        body = self.bodies[kind]
        if kind == "odds":
            self.apply_odds(body, newer)
        else:
            # A field that is set replaces, one that is absent stays.
            for field, value in newer.ListFields():
                if field.message_type is None:
                    setattr(body, field.name, value)
                else:
                    getattr(body, field.name).update(value)
        for number in update.clear:
            self.clear(body, number)

    @staticmethod
    def apply_odds(body, newer):
        """Outcomes merge by id; one that is not named is unchanged."""
        for outcome in newer.outcomes:
            mine = next((mine for mine in body.outcomes if mine.id == outcome.id), None) or body.outcomes.add(id=outcome.id)
            for field, value in outcome.ListFields():
                setattr(mine, field.name, value)
        for name in ("line", "matched"):
            if newer.HasField(name):
                setattr(body, name, getattr(newer, name))

    @staticmethod
    def clear(body, number):
        """A cleared field is unknown from now on. Of odds, `number` is outcome id * 16 + the outcome's field."""
        if isinstance(body, market.Odds) and number >= 16:
            body = next((outcome for outcome in body.outcomes if outcome.id == number // 16), None)
            number %= 16
        if body is not None and number in body.DESCRIPTOR.fields_by_number:
            body.ClearField(body.DESCRIPTOR.fields_by_number[number].name)

    def __str__(self):
        words = [self.info.symbol]
        quote = self.bodies.get("quote")
        if quote is not None:
            words += [f"{name} {self.price(getattr(quote, name))}" for name in ("bid", "ask", "last") if quote.HasField(name)]
        score = self.bodies.get("score")
        if score is not None:
            words.append(f"{score.home}:{score.away} at {score.clock_s // 60}'")
        odds = self.bodies.get("odds")
        if odds is not None:
            names = self.info.outcome_names
            words += [f"{names.get(o.id, o.id)} {self.price(o.back)}" for o in odds.outcomes if o.HasField("back")]
        status = self.bodies.get("status")
        if status is not None:
            words.append(market.TradingPhase.Name(status.phase))
        return " ".join(words)

    def price(self, mantissa):
        """value = mantissa * 10^-scale, exactly: no float on the way."""
        digits = str(abs(mantissa)).zfill(self.info.price_scale + 1)
        whole, places = (digits[:-self.info.price_scale], "." + digits[-self.info.price_scale:]) if self.info.price_scale else (digits, "")
        return ("-" if mantissa < 0 else "") + whole + places


def command(request_id=0, **body):
    return session.ClientFrame(request_id=request_id, **body).SerializeToString()


def item(text):
    wild = any(word in ("*", "#") for word in text.split("."))
    return session.SubscribeItem(pattern=text) if wild else session.SubscribeItem(symbol=text)


async def watch(arguments):
    headers = {"Authorization": f"Bearer {arguments.token}"} if arguments.token else {}
    async with websockets.connect(arguments.url, subprotocols=["tickwire.v1.pb"], additional_headers=headers) as socket:
        hello = session.Hello(protocol=PROTOCOL, sdk="python-example", heartbeat_ms=HEARTBEAT_MS, conflate_ms=arguments.conflate)
        await socket.send(command(1, hello=hello))
        await socket.send(command(2, subscribe=session.Subscribe(items=[item(text) for text in arguments.symbols])))
        instruments, shown, silence = {}, 0, (2 * HEARTBEAT_MS + 500) / 1_000
        while arguments.count is None or shown < arguments.count:
            try:
                bytes_ = await asyncio.wait_for(socket.recv(), silence)
            except asyncio.TimeoutError:
                sys.exit(f"nothing was heard for {silence} s: the connection is dead")
            # A reader handles a frame in this order: infos, control, feeds, updates.
            frame = session.ServerFrame.FromString(bytes_)
            for info in frame.infos:
                instruments.setdefault(info.id, Instrument(info)).info = info
            report(frame)
            for feed in frame.feeds:
                if feed.health != market.LIVE:
                    print(f"feed {feed.feed} is {market.FeedHealth.Name(feed.health)} {feed.reason}", file=sys.stderr)
            for update in frame.updates:
                instrument = instruments.get(update.id)
                if instrument is not None:
                    instrument.apply(update)
                    shown += 1
                    print(instrument, flush=True)


def report(frame):
    control = frame.WhichOneof("control")
    if control == "subscribe_ack":
        for result in frame.subscribe_ack.results:
            if result.code != session.ERROR_CODE_UNSPECIFIED:
                print(f"{result.symbol}: {session.ErrorCode.Name(result.code)}", file=sys.stderr)
    elif control == "error":
        print(f"{session.ErrorCode.Name(frame.error.code)}: {frame.error.text}", file=sys.stderr)
    elif control == "goodbye":
        print(f"the server leaves; come back in {frame.goodbye.retry_after_ms} ms", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="Show live values of Tickwire, without its SDK.")
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="symbols or patterns, such as stock.AAPL or 'crypto.*'")
    parser.add_argument("--url", default="ws://127.0.0.1:7447/v1/ws")
    parser.add_argument("--token", help="bearer token, where the server asks for one")
    parser.add_argument("--conflate", type=int, default=250, metavar="MS", help="shortest time between two records of an instrument")
    parser.add_argument("--count", type=int, metavar="N", help="end after N records")
    try:
        asyncio.run(watch(parser.parse_args()))
    except websockets.ConnectionClosed as closed:
        sys.exit(f"the server closed: {closed}")
    except (OSError, websockets.InvalidStatus) as error:
        sys.exit(f"cannot connect: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
