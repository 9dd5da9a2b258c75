/** Numbers, sizes and times as people read them. */
import type { Schemas } from "../api/client";

const number = new Intl.NumberFormat("en-GB");
const compact = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const dayTime = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const relative = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" });

export const count = (value: number) => number.format(value);

/** Bytes in units of 1,000, as sizes are written in expressions: `1.2 MB`. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  let value = bytes;
  while (value >= 1_000 && at < units.length - 1) {
    value /= 1_000;
    at += 1;
  }
  return `${compact.format(value)} ${units[at]}`;
}

/** A measured number: whole where it is one, or else with two digits behind the point. */
export const measure = (value: number) => new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 }).format(value);

export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A moment in the reader's own time zone. */
export function moment(text: string): string {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : dayTime.format(at);
}

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** How long ago a moment was, seen from another one. */
export function ago(text: string, from: Date = new Date()): string {
  const seconds = (new Date(text).getTime() - from.getTime()) / 1_000;
  if (Number.isNaN(seconds)) return text;
  const [unit, length] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / length), unit);
}

/** How long something lasted: `6 min 39 s`. */
export function lasted(first: string, last: string): string {
  const total = Math.max(0, Math.round((new Date(last).getTime() - new Date(first).getTime()) / 1_000));
  const parts: [number, string][] = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3_600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first2 = parts.filter(([value]) => value > 0).slice(0, 2);
  return first2.length ? first2.map(([value, unit]) => `${value} ${unit}`).join(" ") : "under 1 s";
}

/** What a party is called: its name, or else its address. */
export const partyName = (party: Schemas["PartyView"]) => party.name ?? party.ip ?? party.mac ?? party.device ?? "unknown";

/** What a device is called: its name, or else its address. */
export const deviceName = (device: Pick<Schemas["DeviceRow"], "id"> & Partial<Schemas["DeviceRow"]>) =>
  device.name ?? device.addresses?.[0] ?? device.macs?.[0] ?? device.id;

/** `smart-device` as a word in a sentence: `smart device`. */
export const words = (id: string) => id.replaceAll("-", " ");
const ACRONYMS = /\b(dns|dhcp|plc|rtu|hmi|nas|ied|opc|ua|vpn|ecu|bms|mud|url|tcp|udp|ip)\b/g;
export const title = (id: string) => {
  const text = words(id).replace(ACRONYMS, (word) => word.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
};
