/** A dense series over time, drawn by uPlot. Dragging over it chooses a time range. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { size } from "../lib/format";
import { useIsDark } from "../lib/theme";

const HEIGHT = 120;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
/** A place on the axis of time; `step` is in seconds. */
const timeOf = (seconds: number, step: number) => (step < 3_600 ? clock : day).format(new Date(seconds * 1_000));

interface Props {
  data: [number[], number[]];
  label: string;
  choose: (since: Date, until: Date) => void;
}

export default function Series({ data, label, choose }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const dark = useIsDark();
  const chosen = useRef(choose);
  chosen.current = choose;
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false } },
        scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, max || 1] } },
        axes: [{ ...axis, space: 90, values: (_plot, all, _axis, _space, step) => all.map((value) => timeOf(value, step)) }, { ...axis, size: 64, values: (_plot, all) => all.map((value) => (value === null ? "" : `${size(value)}/s`)) }],
        series: [{}, { stroke: colour("--accent"), fill: colour("--accent-soft"), width: 1.5, points: { show: false }, paths: uPlot.paths.stepped?.({ align: 1 }) }],
        hooks: {
          setSelect: [
            (drawn) => {
              if (drawn.select.width < 4) return;
              const at = (x: number) => new Date(drawn.posToVal(x, "x") * 1_000);
              chosen.current(at(drawn.select.left), at(drawn.select.left + drawn.select.width));
              drawn.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            },
          ],
        },
      },
      data,
      element,
    );
    const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [data, dark]);
  return <div ref={holder} className="series" role="img" aria-label={label} />;
}
