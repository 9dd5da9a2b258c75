/** Marks that tell how bad or how trusted something is: by shape and word first, by colour besides. */
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { ago, moment, partyName, title } from "../lib/format";

export const LEVELS = ["critical", "high", "medium", "low", "info"] as const satisfies readonly Schemas["Level"][];
export const TRUSTS = ["full", "limited", "quarantine"] as const satisfies readonly Schemas["Trust"][];

const SHAPES: Record<Schemas["Level"], React.ReactNode> = {
  critical: <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z M7 4v5h2V4z M7 10.5v2h2v-2z" fillRule="evenodd" />,
  high: <path d="M8 1.5 15 14.5H1z" />,
  medium: <path d="M8 1 15 8 8 15 1 8z" />,
  low: <path d="M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 2.2a3.8 3.8 0 1 0 0 7.6 3.8 3.8 0 0 0 0-7.6z" fillRule="evenodd" />,
  info: <circle cx="8" cy="8" r="3" />,
};

export function Severity({ level, bare = false }: { level: Schemas["Level"]; bare?: boolean }) {
  return (
    <span className={`mark level-${level}`} title={bare ? title(level) : undefined}>
      <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="currentColor">
        {SHAPES[level]}
      </svg>
      <span className={bare ? "unseen" : undefined}>{title(level)}</span>
    </span>
  );
}

const TRUST_SHAPES: Record<Schemas["Trust"], React.ReactNode> = {
  full: <path d="M8 1 14 3v5c0 3.5-2.5 6-6 7-3.5-1-6-3.5-6-7V3z" />,
  limited: <path d="M8 1 14 3v5c0 3.5-2.5 6-6 7-3.5-1-6-3.5-6-7V3z M8 3v10c2.4-.8 4-2.6 4-5V4.3z" fillRule="evenodd" />,
  quarantine: <path d="M3 6.5V5a5 5 0 0 1 10 0v1.5h1V15H2V6.5zm2 0h6V5a3 3 0 0 0-6 0z" fillRule="evenodd" />,
};

export function Trust({ trust }: { trust: Schemas["Trust"] }) {
  return (
    <span className={`mark trust-${trust}`}>
      <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="currentColor">
        {TRUST_SHAPES[trust]}
      </svg>
      <span>{title(trust)}</span>
    </span>
  );
}

const VERDICT_WORDS = { true: "True", expected: "Expected", false: "False" } as const;

export function Verdict({ judgement }: { judgement: Schemas["JudgementView"] | null | undefined }) {
  if (!judgement) return <span className="muted">Open</span>;
  return (
    <span className={`mark verdict-${judgement.verdict}`} title={judgement.reason || undefined}>
      {VERDICT_WORDS[judgement.verdict]}
    </span>
  );
}

/** Who has a part: a link where the device is known. */
export function PartyLink({ party, withAddress = false }: { party: Schemas["PartyView"]; withAddress?: boolean }) {
  const name = <bdi>{partyName(party)}</bdi>;
  const beside = withAddress && party.name && party.ip ? <span className="muted"> {party.ip}</span> : null;
  if (!party.device) {
    return (
      <span>
        {name}
        {beside}
      </span>
    );
  }
  return (
    <span>
      <Link to="/devices/$id" params={{ id: party.device }}>
        {name}
      </Link>
      {beside}
    </span>
  );
}

/** A moment: how long ago it was, and exactly when under the pointer. `asOf` is where the list stands. */
export function When({ at, asOf, exact = false }: { at: string; asOf?: string; exact?: boolean }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {exact ? moment(at) : ago(at, asOf ? new Date(asOf) : undefined)}
    </time>
  );
}

/** A share as a bar; the number stands beside it, so it is left out for those who hear the page. */
export function Bar({ share, className = "" }: { share: number; className?: string }) {
  return (
    <span className="bar" aria-hidden="true">
      <span className={`bar-fill ${className}`} style={{ inlineSize: `${Math.max(share > 0 ? 2 : 0, Math.min(100, share * 100))}%` }} />
    </span>
  );
}
