// Reads the golden vectors in a language of its own: parses the .proto files, decodes the bytes by them, writes each frame as JSON by the
// rules of docs/wire.md, and compares. Needs Node 20 and nothing else: `node proto/vectors/check.mjs`.

import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

const QUANTITIES = new Set("bid_quantity ask_quantity last_quantity back_quantity lay_quantity volume quantity matched".split(" "));

/** Messages (fields by number) and enums (names by number) of the schema. */
function schema() {
  const messages = {};
  const enums = {};
  let fields, names;
  for (const file of ["market", "feed", "session"]) {
    for (const line of readFileSync(new URL(`../tickwire/v1/${file}.proto`, import.meta.url), "utf8").split("\n")) {
      const [, kind, name] = line.match(/^(message|enum) (\w+) \{$/) ?? [];
      if (kind === "message") [fields, names] = [(messages[name] = {}), undefined];
      if (kind === "enum") [fields, names] = [undefined, (enums[name] = {})];
      const [, label, map, type, field, number] = line.match(/^ +(?:(optional|repeated) )?(?:map<(\w+, \w+)>|(\w+)) (\w+) = (\d+);$/) ?? [];
      if (fields && number) fields[number] = { label, map: map?.split(", "), type, name: field };
      const [, value, at] = line.match(/^  (\w+) = (\d+);$/) ?? [];
      if (names && at) names[at] = at === "0" ? "UNSPECIFIED" : value;
    }
  }
  return { messages, enums };
}

const { messages, enums } = schema();

class Bytes {
  constructor(bytes) {
    [this.bytes, this.at] = [bytes, 0];
  }

  varint() {
    let [value, shift, byte] = [0n, 0n, 0];
    do {
      byte = this.bytes[this.at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte > 127);
    return BigInt.asUintN(64, value);
  }

  fixed64() {
    this.at += 8;
    return this.bytes.readBigUInt64LE(this.at - 8);
  }

  part() {
    const length = Number(this.varint());
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  get more() {
    return this.at < this.bytes.length;
  }
}

/** value = mantissa * 10^-scale, with all places of the scale. */
function decimal(mantissa, scale) {
  const digits = (mantissa < 0n ? -mantissa : mantissa).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  return (mantissa < 0n ? "-" : "") + digits.slice(0, point) + (scale ? `.${digits.slice(point)}` : "");
}

/** One value of `type`, as JSON; decimals stay BigInt until their scale is known. */
function read(type, bytes) {
  if (type === "string") return bytes.part().toString("utf8");
  if (type === "fixed64") return bytes.fixed64().toString();
  if (type === "uint64") return bytes.varint().toString();
  if (type === "uint32") return Number(bytes.varint());
  if (type === "bool") return bytes.varint() !== 0n;
  if (type in messages) return decode(type, bytes.part());
  const value = bytes.varint();
  if (type === "sint64") return (value >> 1n) ^ -(value & 1n);
  return enums[type][value] ?? Number(value);
}

function decode(message, slice) {
  const bytes = new Bytes(slice);
  const members = {};
  while (bytes.more) {
    const field = messages[message][Number(bytes.varint() >> 3n)];
    if (field.map) {
      const entry = new Bytes(bytes.part());
      const pair = [field.map[0] === "string" ? "" : 0, field.map[1] === "string" ? "" : "0"];
      while (entry.more) {
        const part = Number(entry.varint() >> 3n) - 1;
        pair[part] = read(field.map[part], entry);
      }
      (members[field.name] ??= {})[pair[0]] = String(pair[1]);
    } else if (field.label !== "repeated") {
      members[field.name] = read(field.type, bytes);
    } else if (field.type === "uint32") {
      const packed = new Bytes(bytes.part());
      members[field.name] = [];
      while (packed.more) members[field.name].push(Number(packed.varint()));
    } else {
      (members[field.name] ??= []).push(read(field.type, bytes));
    }
  }
  // What protobuf leaves out since it is zero.
  for (const { label, map, type, name } of Object.values(messages[message])) {
    if (type === "sint64" && !label && !map) members[name] ??= 0n;
  }
  return members;
}

/** Brings every decimal in `it` to its scale. */
function scaled(it, price, quantity) {
  if (Array.isArray(it)) return it.map((one) => scaled(one, price, quantity));
  if (typeof it !== "object" || it === null) return it;
  const entry = ([name, one]) => [name, typeof one === "bigint" ? decimal(one, QUANTITIES.has(name) ? quantity : price) : scaled(one, price, quantity)];
  return Object.fromEntries(Object.entries(it).map(entry));
}

const BODIES = ["quote", "trade", "bar", "status", "score", "odds"];

function update(it, { symbol, price_scale, quantity_scale }) {
  const { clear = [], flags = 0, ...rest } = scaled(it, price_scale, quantity_scale);
  const members = { ...rest, symbol, flags: Object.keys(enums.UpdateFlag).filter((bit) => bit & flags).map((bit) => enums.UpdateFlag[bit]) };
  const kind = BODIES.find((body) => body in members);
  for (const number of clear) {
    let [of, message, field] = [members[kind], kind[0].toUpperCase() + kind.slice(1), number];
    if (kind === "odds" && number >= 16) {
      const [outcomes, id] = [(of.outcomes ??= []), number >> 4];
      if (!outcomes.some((outcome) => outcome.id === id)) outcomes.push({ id });
      [of, message, field] = [outcomes.find((outcome) => outcome.id === id), "Outcome", number & 15];
    }
    of[messages[message][field].name] = null;
  }
  return members;
}

/** Without what may be left out: zero, empty, false. */
function bare(it) {
  if (Array.isArray(it)) return it.map(bare);
  if (typeof it !== "object" || it === null) return it;
  const leftOut = (one) => [0, "0", "", false, "UNSPECIFIED", undefined].includes(one) || (Array.isArray(one) && one.length === 0);
  return Object.fromEntries(Object.entries(it).map(([name, one]) => [name, bare(one)]).filter(([, one]) => !leftOut(one)));
}

let count = 0;
for (const file of ["server", "client"]) {
  const { message, instruments, cases } = JSON.parse(readFileSync(new URL(`${file}.json`, import.meta.url), "utf8"));
  for (const { name, protobuf, json } of cases) {
    const { updates = [], infos = [], ...rest } = decode(message.split(".").pop(), Buffer.from(protobuf, "hex"));
    const frame = {
      ...rest,
      updates: updates.map((it) => update(it, instruments[it.id])),
      infos: infos.map((it) => scaled(it, it.price_scale ?? 0, it.quantity_scale ?? 0)),
    };
    if (!isDeepStrictEqual(bare(frame), bare(json))) {
      console.error(`${file} ${name}:\n${JSON.stringify(bare(frame))}\nis not\n${JSON.stringify(bare(json))}`);
      process.exit(1);
    }
    count += 1;
  }
}
console.log(`${count} vectors agree`);
