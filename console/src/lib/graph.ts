/** Who did what to whom in an incident, as layers from left to right: whoever was reached stands right of who reached him. */
import type { Schemas } from "../api/client";
import { partyName } from "./format";

type Party = Schemas["PartyView"];
type Level = Schemas["Level"];

export interface Node {
  id: string;
  party: Party;
  name: string;
  layer: number;
  row: number;
  isActor: boolean;
  isVictim: boolean;
}

export interface Edge {
  from: string;
  to: string;
  severity: Level;
  count: number;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
  layers: number;
  rows: number;
  /** How many parties there was no room for. */
  left: number;
}

/** So many parties are drawn. */
export const NODES_MAX = 24;
const ORDER: readonly Level[] = ["info", "low", "medium", "high", "critical"];

export const partyId = (party: Party) => party.device ?? party.ip ?? party.mac ?? "unknown";

export function graphOf(incident: Pick<Schemas["IncidentView"], "actors" | "victims" | "timeline">): Graph {
  const parties = new Map<string, Party>();
  const see = (party: Party) => {
    if (!parties.has(partyId(party))) parties.set(partyId(party), party);
  };
  incident.actors.forEach(see);
  incident.victims.forEach(see);
  const edges = new Map<string, Edge>();
  for (const { actor, victim, severity } of incident.timeline) {
    see(actor);
    if (!victim || partyId(actor) === partyId(victim)) continue;
    see(victim);
    const [from, to] = [partyId(actor), partyId(victim)];
    const key = `${from} ${to}`;
    const before = edges.get(key);
    const worst = before && ORDER.indexOf(before.severity) > ORDER.indexOf(severity) ? before.severity : severity;
    edges.set(key, { from, to, severity: worst, count: (before?.count ?? 0) + 1 });
  }
  const shown = [...parties].slice(0, NODES_MAX);
  const names = new Set(shown.map(([id]) => id));
  const drawn = [...edges.values()].filter(({ from, to }) => names.has(from) && names.has(to));
  const layer = layersOf([...names], drawn);
  const rows = new Map<number, number>();
  const actors = new Set(incident.actors.map(partyId));
  const victims = new Set(incident.victims.map(partyId));
  const nodes = shown.map(([id, party]) => {
    const at = layer.get(id) ?? 0;
    const row = rows.get(at) ?? 0;
    rows.set(at, row + 1);
    return { id, party, name: partyName(party), layer: at, row, isActor: actors.has(id), isVictim: victims.has(id) };
  });
  return { nodes, edges: drawn, layers: Math.max(0, ...rows.keys()) + 1, rows: Math.max(1, ...rows.values()), left: parties.size - shown.length };
}

/** The layer of each: breadth first from those whom nobody reached, or from the first where everybody was reached. */
function layersOf(ids: readonly string[], edges: readonly Edge[]): Map<string, number> {
  const reached = new Set(edges.map(({ to }) => to));
  const begins = ids.filter((id) => !reached.has(id) && edges.some(({ from }) => from === id));
  const layer = new Map<string, number>();
  const queue = begins.length > 0 ? [...begins] : ids.slice(0, 1);
  for (const id of queue) layer.set(id, 0);
  for (let at = 0; at < queue.length; at += 1) {
    const from = queue[at] as string;
    for (const edge of edges) {
      if (edge.from !== from || layer.has(edge.to)) continue;
      layer.set(edge.to, (layer.get(from) ?? 0) + 1);
      queue.push(edge.to);
    }
  }
  return layer;
}
