/** A page for whoever is not inside yet. */
import type { ReactNode } from "react";

export function Alone({ title, site, children }: { title: string; site?: string; children: ReactNode }) {
  return (
    <main className="alone">
      <div className="alone-card">
        <div className="alone-brand">
          <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
            <path d="M6 3h20v17c0 4-4 7-10 9-6-2-10-5-10-9z" fill="currentColor" />
            <path d="M14.5 3h3v25.3l-1.5.7-1.5-.7z" className="brand-rib" />
          </svg>
          <span>Pavise{site ? ` · ${site}` : ""}</span>
        </div>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}
