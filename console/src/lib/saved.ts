/** What somebody has set up for himself in this browser: views of devices, and which columns he sees. */

export interface View {
  name: string;
  filter: string;
  sort: string;
  columns: string[];
}

/** So many views are kept. */
export const VIEWS_MAX = 30;
const VIEWS = "pavise.device-views";
const COLUMNS = "pavise.device-columns";

const isText = (value: unknown): value is string => typeof value === "string";

/** Reads what was kept; what is not as it should be is left out, since anybody may have written there. */
export function readViews(text: string | null): View[] {
  try {
    const told: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(told)) return [];
    return told
      .filter((view): view is View => isText(view?.name) && isText(view.filter) && isText(view.sort) && Array.isArray(view.columns) && view.columns.every(isText))
      .slice(0, VIEWS_MAX);
  } catch {
    return [];
  }
}

/** With one view more; one of the same name is replaced. */
export const withView = (views: readonly View[], view: View): View[] =>
  [...views.filter(({ name }) => name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name)).slice(0, VIEWS_MAX);

export const loadViews = () => readViews(localStorage.getItem(VIEWS));
export const keepViews = (views: readonly View[]) => localStorage.setItem(VIEWS, JSON.stringify(views));

export function loadColumns(usual: readonly string[]): string[] {
  try {
    const told: unknown = JSON.parse(localStorage.getItem(COLUMNS) ?? "null");
    if (Array.isArray(told) && told.length > 0 && told.every(isText)) return told;
  } catch {
    // As usual, then.
  }
  return [...usual];
}
export const keepColumns = (columns: readonly string[]) => localStorage.setItem(COLUMNS, JSON.stringify(columns));
