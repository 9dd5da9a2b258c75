/** What stands where data would stand: while it is awaited, where there is none, and where it could not be had. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ProblemError } from "../api/client";

export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <div className="state" role="status">
      <span className="spinner" aria-hidden="true" />
      {what}…
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state empty">
      <p className="state-title">{title}</p>
      {children && <div className="state-text">{children}</div>}
    </div>
  );
}

const ADVICE: Record<string, string> = {
  "/problems/forbidden": "Ask an administrator for a role that may.",
  "/problems/not-found": "The link may be old: things that turn out to be others are put together under one name.",
  "/problems/too-many-requests": "Wait a moment; it is tried again by itself.",
  "/problems/unavailable": "Try again in a moment.",
  "/problems/timeout": "Narrow the filter or the time range.",
  "/problems/internal": "The log of the server says why.",
  "/problems/cross-site": "Open the console under the name that the server was given.",
};

export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  const problem = error instanceof ProblemError ? error.problem : undefined;
  // What is wrong with a filter stands at the filter.
  if (problem?.at === "filter") return <Empty title="Put the filter right, and the list is here again" />;
  const detail = problem?.detail ?? (error instanceof Error ? error.message : String(error));
  return (
    <div className="state failed" role="alert">
      <p className="state-title">{problem?.title ?? "This did not work"}</p>
      <p className="state-text">{detail}</p>
      {problem && ADVICE[problem.type] && <p className="state-text">{ADVICE[problem.type]}</p>}
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shows what a query gave, or what stands in its place. */
export function Shown<T>({ query, what, children }: { query: UseQueryResult<T>; what?: string; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) return <Failed error={query.error} again={() => void query.refetch()} />;
  return <Loading what={what} />;
}

/** One sentence below a field or a button. */
export function Complaint({ error, id }: { error: unknown; id?: string }) {
  if (!error) return null;
  return (
    <p className="complaint" role="alert" id={id}>
      {error instanceof Error ? error.message : String(error)}
    </p>
  );
}
