/** Lists that come a page at a time. */
import type { QueryKey } from "@tanstack/react-query";
import { keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { useChange } from "../api/live";

export interface PageOf<T> {
  items: T[];
  next?: string | null;
}

/** Where to go on after a page; none after the last one, or where a cursor would lead back to a page that was there already. */
export function nextCursor<T>(last: PageOf<T>, cursors: readonly (string | undefined)[]): string | undefined {
  if (!last.next || cursors.includes(last.next)) return undefined;
  return last.next;
}

/** All rows of the pages, each once: what has moved between two pages meanwhile would be there twice. */
export function rowsOf<T>(pages: readonly PageOf<T>[], id: (row: T) => string): T[] {
  const rows = new Map<string, T>();
  for (const page of pages) for (const row of page.items) if (!rows.has(id(row))) rows.set(id(row), row);
  return [...rows.values()];
}

/** A list as far as it was loaded. */
export function usePages<T, P extends PageOf<T>>(
  key: QueryKey,
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<P>,
  id: (row: T) => string,
) {
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: P, _all, _at, cursors) => nextCursor(last, cursors),
    placeholderData: keepPreviousData,
  });
  const pages = query.data?.pages;
  const rows = useMemo(() => rowsOf<T>(pages ?? [], id), [pages]);
  const client = useQueryClient();
  const changed = useChange(String(key[0]));
  return {
    ...query,
    rows,
    first: pages?.[0],
    /** Whether the list was too long to be loaded anew when something changed. */
    isOld: (pages?.length ?? 0) > 1 && changed > query.dataUpdatedAt,
    /** Loads it anew from its first page. */
    anew: () => void client.resetQueries({ queryKey: key, exact: true }),
  };
}
