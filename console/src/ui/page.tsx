/** What every page begins with. */
import { useIsFetching } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";

interface Props {
  title: string;
  /** Where it belongs to, for a way back. */
  up?: { to: string; name: string };
  aside?: ReactNode;
  children?: ReactNode;
}

export function PageHead({ title, up, aside, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Pavise`;
  }, [title]);
  const isBusy = useIsFetching() > 0;
  return (
    <header className="page-head">
      <div className="page-title">
        {up && (
          <Link to={up.to as "/"} className="up">
            {up.name}
          </Link>
        )}
        <h1>{title}</h1>
        {children}
      </div>
      {aside && <div className="page-aside">{aside}</div>}
      <span className={isBusy ? "busy on" : "busy"} aria-hidden="true" />
    </header>
  );
}

export function Panel({ title, aside, children, className = "" }: { title: ReactNode; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`panel ${className}`}>
      <header className="panel-head">
        <h2>{title}</h2>
        {aside && <div className="panel-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** A wide table scrolls by itself, and can be scrolled with the keys. */
export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="scroll" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

/** Says of a long list that something has changed since it was loaded; it would jump under the reader's eyes by itself. */
export function Old({ list }: { list: { isOld?: boolean; anew?: () => void } }) {
  if (!list.isOld) return null;
  return (
    <span className="old" role="status">
      Something has changed since.
      <button type="button" className="quiet" onClick={list.anew}>
        Load anew
      </button>
    </span>
  );
}

export function More({ query, shown, total }: { query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown; isOld?: boolean; anew?: () => void }; shown: number; total?: number }) {
  return (
    <footer className="more">
      <span className="muted">{total === undefined ? `${shown} shown` : `${shown} of ${total} shown`}</span>
      {query.hasNextPage && (
        <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {query.isFetchingNextPage ? "Loading…" : "Show more"}
        </button>
      )}
      <Old list={query} />
    </footer>
  );
}
