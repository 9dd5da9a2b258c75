/** The map's drawing, by Cytoscape on a canvas, with places that were worked out before. */
import cytoscape from "cytoscape";
import { useEffect, useRef } from "react";
import type { Schemas } from "../api/client";
import type { Band, Placed } from "../lib/levels";
import { useIsDark } from "../lib/theme";
import type { Line } from "../pages/map";

interface Props {
  devices: readonly { id: string; name: string; trust: Schemas["Trust"]; worst?: Schemas["Level"] }[];
  placed: readonly Placed[];
  bands: readonly Band[];
  lines: readonly Line[];
  open: (id: string) => void;
}

/** Cytoscape puts a sheet of styles into the page unless one with this id is there; the policy of the server refuses it, and styles/pages.css says the same. */
const SHEET = "__________cytoscape_stylesheet";
const SHAPES = { full: "ellipse", limited: "diamond", quarantine: "rectangle" } as const;
const NAME_MAX = 16;
const ZOOM_USUAL = 1.3;

export default function Canvas({ devices, placed, bands, lines, open }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const dark = useIsDark();
  const go = useRef(open);
  go.current = open;
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    if (!document.getElementById(SHEET)) {
      const mark = document.createElement("meta");
      mark.id = SHEET;
      document.head.append(mark);
    }
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const at = new Map(placed.map((one) => [one.id, one]));
    const left = Math.min(0, ...placed.map(({ x }) => x)) * 1.1 - 150;
    const most = Math.max(1, ...lines.map(({ bytes }) => bytes));
    const graph = cytoscape({
      container: element,
      layout: { name: "preset" },
      minZoom: 0.15,
      maxZoom: 3,
      autoungrabify: true,
      boxSelectionEnabled: false,
      elements: [
        ...bands.map((band) => ({ data: { id: `band ${band.name}`, label: band.name }, position: { x: left, y: band.y + band.height / 2 - 38 }, classes: "band", selectable: false })),
        ...devices.map((device) => ({
          data: { id: device.id, label: device.name.length > NAME_MAX ? `${device.name.slice(0, NAME_MAX - 1)}…` : device.name, shape: SHAPES[device.trust], fill: colour(`--trust-${device.trust}`), ring: device.worst ? colour(`--level-${device.worst}`) : colour("--surface") },
          position: { x: at.get(device.id)?.x ?? 0, y: at.get(device.id)?.y ?? 0 },
          classes: "device",
        })),
        ...lines.map((line) => ({ data: { id: `${line.from} ${line.to}`, source: line.from, target: line.to, width: 0.6 + (2.4 * Math.log1p(line.bytes)) / Math.log1p(most) } })),
      ],
      style: [
        { selector: "node.device", style: { shape: "data(shape)" as never, width: 22, height: 22, "background-color": "data(fill)", "border-width": 4, "border-color": "data(ring)", label: "data(label)", "font-size": 10, "min-zoomed-font-size": 7, "font-family": "system-ui", color: colour("--text"), "text-valign": "bottom", "text-margin-y": 4, "text-background-color": colour("--surface"), "text-background-opacity": 0.85, "text-background-padding": "1px" } },
        { selector: "node.band", style: { shape: "rectangle", width: 1, height: 1, "background-opacity": 0, label: "data(label)", "font-size": Math.max(12, -left / 40), "font-weight": 600, "font-family": "system-ui", color: colour("--muted"), "text-halign": "right", "text-valign": "center", events: "no" } },
        { selector: "edge", style: { width: "data(width)", "line-color": colour("--line-strong"), opacity: 0.55, "curve-style": "haystack", "haystack-radius": 0.2 } },
        { selector: "edge.lit", style: { "line-color": colour("--accent"), opacity: 1 } },
        { selector: "node.faded", style: { opacity: 0.3 } },
      ],
    });
    // A few devices stay small, with room around them.
    const fit = () => {
      graph.fit(undefined, 24);
      if (graph.zoom() > ZOOM_USUAL) graph.zoom(ZOOM_USUAL);
      graph.center();
    };
    fit();
    graph.on("tap", "node.device", (event) => go.current(event.target.id()));
    graph.on("mouseover", "node.device", (event) => {
      const near = event.target.closedNeighborhood();
      graph.nodes(".device").difference(near).addClass("faded");
      near.edges().addClass("lit");
      element.style.cursor = "pointer";
    });
    graph.on("mouseout", "node.device", () => {
      graph.elements().removeClass("faded lit");
      element.style.cursor = "";
    });
    const watcher = new ResizeObserver(() => {
      graph.resize();
      fit();
    });
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      graph.destroy();
    };
  }, [devices.length, placed, bands, lines, dark]);
  return <div ref={holder} className="map-canvas" role="img" aria-label={`A map of ${devices.length} devices and ${lines.length} lines between them; the same devices stand in the list of devices.`} />;
}
