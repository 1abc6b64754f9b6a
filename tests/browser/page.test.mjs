// The demo page in a real browser: what it shows is what was sent, and it comes back by itself.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { RawClient } from "./raw.mjs";
import { Server, until } from "./server.mjs";

const shots = new URL("../../target/browser/", import.meta.url).pathname;
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"];
let server;
let browser;
let page;
const complaints = [];

before(async () => {
  await mkdir(shots, { recursive: true });
  server = await new Server().start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...quiet],
  });
  page = await open({ viewport: { width: 1440, height: 900 }, colorScheme: "dark" });
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

async function open(context) {
  const opened = await (await browser.newContext(context)).newPage();
  opened.on("pageerror", (error) => complaints.push(error.stack ?? String(error)));
  await opened.goto(server.url);
  return opened;
}

const isLive = () => page.locator("#state[data-state=live]").count();

/** What the rows of the watch list show, with the position that they show it of. */
const rows = () =>
  page.$$eval("tr.row", (found) =>
    found.map((row) => ({
      symbol: row.dataset.symbol,
      seq: row.dataset.seq,
      stale: row.classList.contains("stale"),
      bid: row.querySelector(".bid").textContent.replaceAll(",", ""),
      ask: row.querySelector(".ask").textContent.replaceAll(",", ""),
      last: row.querySelector(".last b").textContent.replaceAll(",", ""),
    })),
  );

/** Every row is seen once at a position that the independent client knows, showing what that client has. */
async function sameAsRaw() {
  const raw = new RawClient(server.url, ["stock.*", "crypto.*"]);
  await until("the independent client is synced", () => raw.synced);
  const agreed = new Set();
  await until("every row agrees with the independent client", async () => {
    for (const { symbol, seq, bid, ask, last } of await rows()) {
      const expected = raw.at(symbol, seq)?.quote;
      if (!expected) continue;
      const shown = { bid: expected.bid ?? "–", ask: expected.ask ?? "–", last: expected.last ?? "–" };
      assert.deepEqual({ bid, ask, last }, shown, `${symbol} at ${seq}`);
      agreed.add(symbol);
    }
    return raw.symbols.length > 0 && raw.symbols.every((symbol) => agreed.has(symbol));
  }).finally(() => raw.close());
}

test("comes up live", async () => {
  await until("the page is live", isLive);
  await until("rows and matches are there", async () => (await rows()).length > 5 && (await page.locator(".match .odd").count()) > 2);
});

test("shows what was sent", sameAsRaw);

test("the conflation switch changes the rate while data flows", async () => {
  const rate = async () => Number((await page.textContent("#rate-records")).replaceAll(",", ""));
  await page.locator("#segments input[value='0']").check();
  const fast = await until("records flow", async () => {
    await page.waitForTimeout(2500);
    return rate();
  });
  await page.locator("#segments input[value='5000']").check();
  await until(`far fewer than ${fast} records a second`, async () => (await rate()) < fast / 3);
  await page.locator("#segments input[value='250']").check();
  await until("more again", async () => (await rate()) > fast / 10);
});

test("gets no data while it is hidden, and the newest when it is shown", async () => {
  const hide = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const records = () => page.evaluate(() => globalThis.tickwire.stats().records);
  await hide(true);
  // Events (a halt, a goal) still come: they are never conflated away.
  await until("hardly anything comes", async () => {
    const before = await records();
    await page.waitForTimeout(1000);
    return (await records()) - before < 10;
  });
  await hide(false);
  const before = await records();
  await until("records flow again", async () => (await records()) > before + 50);
  await sameAsRaw();
});

test("says that a symbol is unknown, and serves the rest", async () => {
  await page.fill("#add-input", "stock.NOBODY");
  await page.click("#add button");
  await until("the refusal is shown", async () => (await page.textContent("#add-error")).includes("UNKNOWN_SYMBOL"));
  assert.equal(await isLive(), 1);
});

test("looks right on a wide screen and on a phone", async () => {
  const phone = await open({ viewport: { width: 360, height: 780 }, colorScheme: "light", deviceScaleFactor: 2 });
  await until("the phone is live", () => phone.locator("#state[data-state=live]").count());
  await until("it has rows", async () => (await phone.locator("tr.row").count()) > 5);
  for (const [name, shown] of [["wide", page], ["phone", phone]]) {
    const overflow = await shown.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(overflow, 0, `${name} scrolls sideways by ${overflow} px`);
    await shown.screenshot({ path: `${shots}${name}.png` });
  }
  await phone.context().close();
});

test("comes back by itself after the server was killed, and never shows old values as fresh", async () => {
  // Looks at every change of the connection's state, in the page, before anything is painted.
  await page.evaluate(() => {
    globalThis.lies = [];
    const look = () => {
      const { state, fresh } = document.body.dataset;
      const live = state === "live" || state === "degraded";
      const lying = live ? [] : [...document.querySelectorAll("tr.row:not(.stale)")].map((row) => row.dataset.symbol);
      if (fresh !== String(live) || lying.length > 0) globalThis.lies.push({ state, fresh, lying });
    };
    new MutationObserver(look).observe(document.body, { attributes: true });
  });
  await server.kill();
  await until("the page says that the connection is lost", async () => (await page.locator("#banner:visible").count()) === 1);
  assert.ok((await rows()).every(({ stale }) => stale));
  await page.screenshot({ path: `${shots}lost.png` });
  await server.start();
  await until("the page is live again", isLive, 60_000);
  await until("the rows are fresh again", async () => (await rows()).every(({ stale }) => !stale));
  await sameAsRaw();
  assert.deepEqual(await page.evaluate(() => globalThis.lies), []);
});

test("nothing was thrown", () => assert.deepEqual(complaints, []));
