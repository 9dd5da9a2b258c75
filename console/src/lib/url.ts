/** What a page shows is in its address: plain text, so that a link can be read and written by hand. */
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export type Search = Record<string, string>;

export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

export function writeSearch(search: Record<string, unknown>): string {
  const kept = Object.entries(search).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

/** The search of the address, and how to change parts of it; an empty text takes a part away. */
export function useUrl(): [Search, (change: Search, replace?: boolean) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (parts: Search, replace = false) => {
      void navigate({
        to: ".",
        replace,
        search: ((before: Search) => {
          const all = { ...before, ...parts };
          return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
        }) as never,
      });
    },
    [navigate],
  );
  return [search, change];
}

/** A place within this console to go back to; anything else is the overview. */
export const placeBack = (text: string | undefined) => (text?.startsWith("/") && !/^\/[/\\]/.test(text) ? text : "/");
