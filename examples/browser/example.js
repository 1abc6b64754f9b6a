// Bundlers write `from "@tickwire/client"`; without one, the package is a folder of files.
import { TickwireClient } from "../../sdk-wasm/pkg/web.js";

const url = new URLSearchParams(location.search).get("url") ?? "http://127.0.0.1:7447/";
const client = await TickwireClient.connect(url, { wait: false });
client.on("state", ({ state }) => (document.querySelector("#state").textContent = state));

// Once per animation frame: all that changed since the last one.
client.subscribe(["stock.*", "crypto.*"]).onFrame((changes) => {
  for (const { symbol, quote } of changes) {
    const row = document.getElementById(symbol) ?? addRow(symbol);
    [quote?.bid, quote?.ask, quote?.last].forEach((price, column) => (row.cells[column + 1].textContent = price ?? ""));
  }
});

function addRow(symbol) {
  const row = document.querySelector("#prices").insertRow();
  row.id = symbol;
  for (let column = 0; column < 4; column += 1) row.insertCell();
  row.cells[0].textContent = symbol;
  return row;
}
