// Numbers and spans for people. Prices stay the exact text that the server sent; only their digits are grouped.

/** "64123.50" as "64,123.50"; a dash if it is unknown. */
export function price(exact) {
  if (exact === undefined) return "–";
  const [whole, fraction] = exact.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

const compactNumber = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1234567 as "1.2M". */
export function compact(value) {
  return value === undefined || Number.isNaN(Number(value)) ? "–" : compactNumber.format(Number(value));
}

/** Milliseconds as a short span: "40 ms", "1.2 s", "3 min". */
export function span(ms) {
  if (ms === undefined) return "–";
  const age = Math.max(0, ms);
  if (age < 950) return `${Math.round(age / 10) * 10} ms`;
  if (age < 59_500) return `${(age / 1000).toFixed(age < 9_950 ? 1 : 0)} s`;
  if (age < 3_570_000) return `${Math.round(age / 60_000)} min`;
  return `${Math.round(age / 3_600_000)} h`;
}

/** How far `last` is from the reference, in percent with a sign. */
export function percent(last, reference) {
  if (last === undefined || !reference) return undefined;
  return ((last - reference) / reference) * 100;
}

/** Shows a percentage in an element of class "delta". */
export function showDelta(element, value) {
  setText(element, value === undefined ? "–" : `${Math.abs(value).toFixed(2)}%`);
  const way = value === undefined || Math.abs(value) < 0.005 ? "flat" : value > 0 ? "up" : "down";
  if (element.dataset.way !== way) element.dataset.way = way;
}

/** Writes only what differs, so that a quiet row costs nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with classes, attributes and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A wash of colour behind a value that went up or down. */
export function flash(element, way) {
  if (calm.matches) return;
  const wash = colour(way > 0 ? "--up-wash" : "--down-wash");
  element.animate([{ backgroundColor: wash }, { backgroundColor: "transparent" }], { duration: 700, easing: "ease-out" });
}

let colours = new Map();
const themeListeners = new Set();
new MutationObserver(() => {
  colours = new Map();
  for (const listener of themeListeners) listener();
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

/** A colour of the theme, for canvases and animations. Looked up once: asking the browser makes it work out all styles. */
export function colour(name) {
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colours.set(name, value);
  }
  return value;
}

/** Calls `listener` when the theme has changed. */
export function onTheme(listener) {
  themeListeners.add(listener);
}
