// A fan-out server as one writes it with uWebSockets.js: node uws.cjs PORT BINARIES, the folder with its compiled halves.
"use strict";
const { resolve } = require("node:path");
const [port, binaries] = process.argv.slice(2);
const { App } = require(`${resolve(binaries)}/uws_${process.platform}_${process.arch}_${process.versions.modules}.node`);

const app = App();
const text = (bytes) => Buffer.from(bytes).toString();

// A subscriber that is behind waits; by default the server drops what exceeds 64 KiB.
app.ws("/", {
  compression: 0,
  maxBackpressure: 64 * 1024 * 1024,
  message: (socket, data) => {
    for (const index of text(data).split(",")) socket.subscribe(index);
    socket.send("ready");
  },
});
app.ws("/publish", {
  compression: 0,
  message: (_socket, data) => void app.publish(String(new DataView(data).getUint32(0)), data.slice(4), true),
});
app.listen("127.0.0.1", Number(port), (listening) => listening || process.exit(1));
