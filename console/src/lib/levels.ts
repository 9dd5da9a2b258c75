/** Where devices stand on the map: levels from the Internet at the top to what moves things at the bottom (after IEC 62443 and Purdue). */
import type { Schemas } from "../api/client";

type Row = Pick<Schemas["DeviceRow"], "id" | "role" | "locality" | "zone">;

export const LEVELS = ["Internet", "Edge", "Servers", "Workplaces", "Supervision", "Control", "Field and things", "Unknown"] as const;
export type LevelName = (typeof LEVELS)[number];

// A map, since roles come from the network: one may be called like something that every object has.
const OF = new Map<string, LevelName>();
const put = (level: LevelName, roles: string) => {
  for (const role of roles.split(" ")) OF.set(role, level);
};
put("Edge", "router gateway firewall switch access-point vpn proxy modem");
put("Servers", "server dns-server dhcp-server file-server mail-server database domain-controller time-server broker web-server nas hub");
put("Workplaces", "workstation mobile printer phone media tablet scanner terminal");
put("Supervision", "hmi historian scada engineering-station engineering-workstation opc-server supervisor");
put("Control", "plc rtu controller drive ied safety-controller bms building-controller");
put("Field and things", "camera sensor smart-device meter actuator io infusion-pump patient-monitor medical imaging ecu thermostat lock light speaker recorder vehicle");

export const levelOf = (device: Row): LevelName => (device.locality === "external" ? "Internet" : (OF.get(device.role ?? "") ?? "Unknown"));

export interface Placed {
  id: string;
  x: number;
  y: number;
  group: string;
}

export interface Band {
  name: string;
  y: number;
  height: number;
}

/** Between two devices, in the map's own units. */
const ACROSS = 92;
const DOWN = 76;
/** At least so many devices stand in a row before there is a second one. */
const ROW_MIN = 12;
/** How much wider than high the map is. */
const SHAPE = 2.2;
const GAP = 34;

/** Places for devices: one band for each group, in as many rows as it needs. */
export function place(devices: readonly Row[], by: "level" | "zone"): { placed: Placed[]; bands: Band[] } {
  const groupOf = (device: Row) => (by === "zone" ? (device.zone ?? (device.locality === "external" ? "Internet" : "No zone")) : levelOf(device));
  const groups = new Map<string, Row[]>();
  for (const device of devices) groups.set(groupOf(device), [...(groups.get(groupOf(device)) ?? []), device]);
  const rank = (name: string) => (by === "level" ? LEVELS.indexOf(name as LevelName) : name === "Internet" ? -1 : name === "No zone" ? 1 : 0);
  const names = [...groups.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const most = Math.max(ROW_MIN, Math.ceil(Math.sqrt((devices.length * SHAPE * DOWN) / ACROSS)));
  const placed: Placed[] = [];
  const bands: Band[] = [];
  let y = 0;
  for (const name of names) {
    const all = groups.get(name) ?? [];
    const rows = Math.ceil(all.length / most);
    all.forEach((device, at) => {
      const inRow = Math.min(most, all.length - Math.floor(at / most) * most);
      placed.push({ id: device.id, group: name, x: ((at % most) - (inRow - 1) / 2) * ACROSS, y: y + Math.floor(at / most) * DOWN });
    });
    bands.push({ name, y, height: rows * DOWN });
    y += rows * DOWN + GAP;
  }
  return { placed, bands };
}
