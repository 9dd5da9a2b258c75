/** Keeps what is shown up to date: events say what has changed, and what shows it is asked for anew. */
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { ProblemError } from "./client";
import { type Line, listen, type Happening } from "./events";

/** Changes are gathered for so long, so that a busy network does not make a busy page. */
const GATHER_MS = 2_000;
/** Without events, what is shown is asked for so often. */
const POLL_MS = 15_000;

/** What shows things of a kind, by the first part of the query's key. */
const SHOWS: Record<Happening["event"], readonly string[]> = {
  device: ["devices", "device", "overview", "zones"],
  "device-gone": ["devices", "device", "overview", "zones"],
  finding: ["findings", "finding", "incidents", "incident", "overview", "devices"],
  incident: ["incidents", "incident", "overview"],
  "incident-gone": ["incidents", "incident", "overview"],
  progress: ["overview", "system"],
  missed: ["devices", "device", "findings", "finding", "incidents", "incident", "overview", "system", "zones"],
};

let line: Line = "connecting";
const watching = new Set<() => void>();
const setLine = (now: Line) => {
  if (now === line) return;
  line = now;
  for (const tell of watching) tell();
};

/** When something of a kind has changed last, in milliseconds since 1970. */
const changes = new Map<string, number>();

const subscribe = (tell: () => void) => {
  watching.add(tell);
  return () => {
    watching.delete(tell);
  };
};

export const useLine = () => useSyncExternalStore(subscribe, () => line);

/** When something of a kind has changed last; 0 where nothing has since the page was opened. */
export const useChange = (kind: string) => useSyncExternalStore(subscribe, () => changes.get(kind) ?? 0);

/** Asks anew for what is shown of some kinds. A long list is left alone: it would jump under the reader's eyes; its page says so. */
export function refresh(client: QueryClient, kinds: ReadonlySet<string>) {
  for (const kind of kinds) changes.set(kind, Date.now());
  for (const tell of watching) tell();
  void client.invalidateQueries({
    predicate: ({ queryKey, state }) => {
      const pages = (state.data as { pages?: unknown[] } | undefined)?.pages;
      return kinds.has(String(queryKey[0])) && (pages?.length ?? 1) <= 1;
    },
  });
}

/** Listens for as long as the page stands. */
export function useLive() {
  const client = useQueryClient();
  useEffect(() => {
    const end = new AbortController();
    const dirty = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      refresh(client, new Set(dirty));
      dirty.clear();
    };
    const poll = setInterval(() => {
      if (document.hidden) return;
      if (line !== "live") refresh(client, new Set(SHOWS.missed));
      // What has failed because the server did not answer is tried again, whatever the line says.
      else void client.refetchQueries({ type: "active", predicate: ({ state }) => state.error instanceof ProblemError && state.error.problem.status >= 500 });
    }, POLL_MS);
    void listen(
      {
        open: (signal) => fetch("/api/v1/events", { signal, headers: { accept: "text/event-stream" } }),
        heard: (event) => {
          for (const kind of SHOWS[event.event] ?? []) dirty.add(kind);
          if (dirty.size > 0) timer ??= setTimeout(flush, GATHER_MS);
        },
        line: setLine,
        wait: (ms, signal) =>
          new Promise((done) => {
            const timeout = setTimeout(done, ms);
            signal.addEventListener("abort", () => {
              clearTimeout(timeout);
              done();
            });
          }),
      },
      end.signal,
    );
    return () => {
      end.abort();
      clearTimeout(timer);
      clearInterval(poll);
    };
  }, [client]);
}
