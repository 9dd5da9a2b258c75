/** What is looked for: the catalogue of detectors. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { detectorsQuery } from "../api/queries";
import { plural } from "../lib/format";
import { useUrl } from "../lib/url";
import { LEVELS, Severity } from "../ui/marks";
import { PageHead } from "../ui/page";
import { Empty, Shown } from "../ui/states";

export function Detectors() {
  const [search, change] = useUrl();
  const find = search.find ?? "";
  const query = useQuery(detectorsQuery);
  const wanted = find.trim().toLowerCase();
  const all = (query.data ?? [])
    .filter((one) => [one.id, one.title, one.finds, ...one.techniques].some((text) => text.toLowerCase().includes(wanted)))
    .sort((a, b) => LEVELS.indexOf(a.severity) - LEVELS.indexOf(b.severity) || a.title.localeCompare(b.title));
  return (
    <>
      <PageHead title="Detectors">
        <p className="muted lead-in">What is looked for, why it matters, and what to do about it.</p>
      </PageHead>
      <div className="filter">
        <div className="filter-row">
          <input type="search" data-search aria-label="Search detectors" placeholder="A word, or a technique such as T0846" value={find} maxLength={200} onChange={(event) => change({ find: event.target.value }, true)} />
        </div>
      </div>
      <Shown query={query} what="Loading the catalogue">
        {() => (
          <>
            <p className="muted" role="status">
              {plural(all.length, "detector")}
            </p>
            {all.length === 0 && <Empty title="No detector has that in it" />}
            <ul className="catalogue">
              {all.map((one) => (
                <li key={one.id} className="panel">
                  <details open={all.length === 1}>
                    <summary>
                      <Severity level={one.severity} />
                      <strong>{one.title}</strong>
                      <code className="muted">{one.id}</code>
                    </summary>
                    <div className="prose">
                      <p>{one.finds}</p>
                      <h3>Why it matters</h3>
                      <p>{one.matters}</p>
                      <h3>What to do</h3>
                      <p>{one.fix}</p>
                      <p className="muted">
                        {one.techniques.length > 0 && <>MITRE ATT&amp;CK: {one.techniques.join(", ")}. </>}
                        <Link to="/findings" search={{ filter: `detector=${one.id}` } as never}>
                          Its findings
                        </Link>
                      </p>
                    </div>
                  </details>
                </li>
              ))}
            </ul>
          </>
        )}
      </Shown>
    </>
  );
}
