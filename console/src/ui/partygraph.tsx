/** Actors and victims of an incident as a small drawing; the same stands in the tables beside it. */
import { useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Schemas } from "../api/client";
import { plural } from "../lib/format";
import { graphOf } from "../lib/graph";

const WIDTH = 128;
const HEIGHT = 40;
const ACROSS = 44;
const DOWN = 14;

const short = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function PartyGraph({ incident }: { incident: Schemas["IncidentView"] }) {
  const graph = useMemo(() => graphOf(incident), [incident]);
  const navigate = useNavigate();
  const width = graph.layers * WIDTH + (graph.layers - 1) * ACROSS + 4;
  const height = graph.rows * HEIGHT + (graph.rows - 1) * DOWN + 4;
  const inLayer = (layer: number) => graph.nodes.filter((node) => node.layer === layer).length;
  const place = new Map(
    graph.nodes.map((node) => {
      // Short layers stand in the middle of the long ones.
      const top = (height - inLayer(node.layer) * (HEIGHT + DOWN) + DOWN) / 2;
      return [node.id, { x: 2 + node.layer * (WIDTH + ACROSS), y: top + node.row * (HEIGHT + DOWN) }];
    }),
  );
  return (
    <figure className="party-graph">
      <div className="scroll" tabIndex={0} role="region" aria-label="Who did what to whom">
        <svg viewBox={`0 0 ${width} ${height}`} style={{ display: "block", inlineSize: `min(100%, ${width}px)`, minInlineSize: `${Math.round(width * 0.85)}px` }} role="group" aria-label="Actors and victims">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
              <path d="M0 0 8 4 0 8z" fill="context-stroke" />
            </marker>
          </defs>
          {graph.edges.map((edge) => {
            const [a, b] = [place.get(edge.from), place.get(edge.to)];
            if (!a || !b) return null;
            const isBack = b.x <= a.x;
            const [x1, x2] = isBack ? [a.x + WIDTH / 2, b.x + WIDTH / 2] : [a.x + WIDTH, b.x];
            const y1 = isBack ? (a.y < b.y ? a.y + HEIGHT : a.y) : a.y + HEIGHT / 2;
            const y2 = isBack ? (a.y < b.y ? b.y : b.y + HEIGHT) : b.y + HEIGHT / 2;
            const bend = isBack ? 0 : (x2 - x1) / 2;
            return (
              <path key={`${edge.from} ${edge.to}`} className={`link-${edge.severity}`} d={`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`} fill="none" strokeWidth={1.5 + Math.min(2, edge.count / 4)} markerEnd="url(#arrow)">
                <title>{plural(edge.count, "finding")}</title>
              </path>
            );
          })}
          {graph.nodes.map((node) => {
            const at = place.get(node.id);
            const device = node.party.device;
            const part = node.isActor && node.isVictim ? "Victim, then actor" : node.isActor ? "Actor" : "Victim";
            if (!at) return null;
            const open = () => device && void navigate({ to: "/devices/$id", params: { id: device } });
            return (
              <g
                key={node.id}
                transform={`translate(${at.x} ${at.y})`}
                className={`party ${node.isActor ? "is-actor" : "is-victim"}`}
                role={device ? "link" : undefined}
                tabIndex={device ? 0 : undefined}
                onClick={open}
                onKeyDown={(event) => event.key === "Enter" && open()}
              >
                <rect width={WIDTH} height={HEIGHT} rx="5" />
                <text x="10" y="17" className="party-name">
                  {short(node.name, 17)}
                </text>
                <text x="10" y="31" className="party-part">
                  {part}
                </text>
              </g>
            );
          })}
        </svg>
      </div>
      {graph.left > 0 && <figcaption className="muted">and {plural(graph.left, "other")} for whom there is no room here</figcaption>}
    </figure>
  );
}
