/** The filter of a list: one expression, with suggestions, and what is wrong with it where it is wrong. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { ProblemError } from "../api/client";
import { detectorsQuery, fieldsQuery, overviewQuery } from "../api/queries";
import { columnOf, suggest, taken } from "../lib/filter";
import { LEVELS, TRUSTS } from "./marks";

type Resource = "devices" | "findings" | "incidents" | "flows";

/** Values that are known of some fields. */
function useValues(resource: Resource): Record<string, readonly string[]> {
  const overview = useQuery(overviewQuery).data;
  const detectors = useQuery({ ...detectorsQuery, enabled: resource === "findings" }).data;
  return useMemo(() => {
    const roles = Object.keys(overview?.roles ?? {});
    return {
      role: roles,
      "main-role": roles,
      protocol: overview?.protocols.map(({ protocol }) => protocol) ?? [],
      trust: TRUSTS,
      severity: LEVELS,
      verdict: ["none", "true", "expected", "false"],
      evidence: ["open", "kept", "missing"],
      locality: ["on-link", "routed", "external"],
      transport: ["tcp", "udp", "icmp"],
      detector: detectors?.map(({ id }) => id) ?? [],
    };
  }, [overview, detectors]);
}

interface Props {
  resource: Resource;
  value: string;
  apply: (filter: string) => void;
  error?: unknown;
  placeholder: string;
  quick?: readonly { name: string; filter: string }[];
}

export function FilterBar({ resource, value, apply, error, placeholder, quick = [] }: Props) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(0);
  const [isOpen, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  /** Where the caret belongs once the text is there: before the next key, however fast somebody types. */
  const wanted = useRef<number>(undefined);
  const id = useId();
  const fields = useQuery(fieldsQuery).data?.[resource] ?? [];
  const values = useValues(resource);
  useEffect(() => setText(value), [value]);
  useLayoutEffect(() => {
    if (wanted.current === undefined) return;
    input.current?.setSelectionRange(wanted.current, wanted.current);
    wanted.current = undefined;
  }, [text]);
  const found = suggest(text, caret, fields, values);
  const shown = isOpen ? found.items : [];
  const problem = error instanceof ProblemError && error.problem.at === "filter" ? error.problem : undefined;
  const column = problem && text === value ? columnOf(problem.detail) : undefined;

  const choose = (place: number) => {
    const chosen = found.items[place];
    if (!chosen) return;
    const now = taken(text, found, chosen);
    setText(now.text);
    setAt(-1);
    setCaret(now.caret);
    wanted.current = now.caret;
  };
  const submit = (filter: string) => {
    setOpen(false);
    setAt(-1);
    apply(filter.trim());
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      const size = found.items.length;
      if (size > 0) setAt((before) => (before < 0 ? (step > 0 ? 0 : size - 1) : (before + step + size) % size));
    } else if (event.key === "Escape" && shown.length > 0) {
      event.preventDefault();
      setOpen(false);
      setAt(-1);
    } else if (event.key === "Escape") input.current?.blur();
    else if (event.key === "Tab" && at >= 0) {
      event.preventDefault();
      choose(at);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (at >= 0 && shown.length > 0) choose(at);
      else submit(text);
    }
  };
  const select = () => setCaret(input.current?.selectionStart ?? text.length);

  return (
    <div className="filter">
      <form
        role="search"
        className="filter-row"
        onSubmit={(event) => {
          event.preventDefault();
          submit(text);
        }}
      >
        <div className="filter-box">
          <input
            ref={input}
            id={`${id}-input`}
            data-search
            type="text"
            role="combobox"
            aria-label="Filter"
            aria-autocomplete="list"
            aria-expanded={shown.length > 0}
            aria-controls={`${id}-list`}
            aria-activedescendant={at >= 0 && shown.length > 0 ? `${id}-${at}` : undefined}
            aria-invalid={problem ? true : undefined}
            aria-describedby={problem ? `${id}-problem` : undefined}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            maxLength={4096}
            placeholder={placeholder}
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              setCaret(event.target.selectionStart ?? event.target.value.length);
              setOpen(true);
              setAt(-1);
            }}
            onSelect={select}
            onFocus={() => {
              select();
              setOpen(true);
            }}
            onBlur={() => setOpen(false)}
            onKeyDown={onKeyDown}
          />
          <ul className="suggestions" id={`${id}-list`} role="listbox" aria-label="Suggestions" hidden={shown.length === 0}>
            {shown.map((item, place) => (
              <li
                key={item.insert}
                id={`${id}-${place}`}
                role="option"
                aria-selected={place === at}
                onMouseDown={(event) => {
                  event.preventDefault();
                  choose(place);
                }}
              >
                <code>{item.insert.trim()}</code>
                <span className="muted">{item.about}</span>
              </li>
            ))}
          </ul>
        </div>
        <button type="submit">Apply</button>
        {value && (
          <button type="button" className="quiet" onClick={() => submit("")}>
            Clear
          </button>
        )}
      </form>
      {problem && (
        <div className="complaint" role="alert" id={`${id}-problem`}>
          {column !== undefined && (
            <code className="pointed">
              {text.slice(0, column - 1)}
              <mark>{text.slice(column - 1) || " "}</mark>
            </code>
          )}
          <p>{problem.detail}</p>
        </div>
      )}
      {quick.length > 0 && (
        <div className="quick" role="group" aria-label="Quick filters">
          {quick.map(({ name, filter }) => (
            <button key={name} type="button" className="chip" aria-pressed={value === filter} onClick={() => submit(value === filter ? "" : filter)}>
              {name}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
