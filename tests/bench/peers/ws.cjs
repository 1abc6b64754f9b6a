// A fan-out server as one writes it with ws: node ws.cjs PORT, with NODE_PATH where ws is.
"use strict";
const { WebSocketServer } = require("ws");

const subscribers = new Map(); // number of an instrument -> sockets
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false, backlog: 4096 });

server.on("connection", (socket, request) => {
  if (request.url === "/publish") {
    socket.on("message", (data) => {
      const payload = data.subarray(4);
      for (const subscriber of subscribers.get(data.readUInt32BE(0)) ?? []) subscriber.send(payload);
    });
    return;
  }
  const mine = [];
  socket.once("message", (data) => {
    for (const text of data.toString().split(",")) {
      const index = Number(text);
      if (!subscribers.has(index)) subscribers.set(index, new Set());
      subscribers.get(index).add(socket);
      mine.push(index);
    }
    socket.send("ready");
  });
  socket.on("close", () => mine.forEach((index) => subscribers.get(index).delete(socket)));
  socket.on("error", () => {});
});
