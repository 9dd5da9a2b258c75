/** Recovery codes, which are shown once. */
import { useState } from "react";
import { CopyButton } from "./copy";

export function RecoveryCodes({ codes, done }: { codes: readonly string[]; done: () => void }) {
  const [isKept, setKept] = useState(false);
  const text = codes.join("\n");
  const save = () => {
    const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = "pavise-recovery-codes.txt";
    link.click();
    URL.revokeObjectURL(address);
  };
  return (
    <div className="form">
      <p>Each of these codes lets you in once when your second factor is lost. They are shown this once: keep them where you keep keys.</p>
      <ol className="codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ol>
      <div className="row">
        <CopyButton text={text} name="Copy all" />
        <button type="button" onClick={save}>
          Save as a file
        </button>
      </div>
      <label className="check">
        <input type="checkbox" checked={isKept} onChange={(event) => setKept(event.target.checked)} />
        <span>I have kept them</span>
      </label>
      <button type="button" className="primary" disabled={!isKept} onClick={done}>
        Go on
      </button>
    </div>
  );
}
