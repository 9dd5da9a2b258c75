import { say } from "./toasts";

/** Puts a text on the clipboard. */
export function CopyButton({ text, name = "Copy" }: { text: string; name?: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      say("The browser does not let this page copy: mark the text and copy it by hand.", true);
    }
  };
  return (
    <button type="button" onClick={() => void copy()}>
      {name}
    </button>
  );
}
