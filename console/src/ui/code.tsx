/** Where the six digits of a one-time password are typed. */
import { useId } from "react";

export function CodeField({ value, change, label = "Code of your authenticator" }: { value: string; change: (code: string) => void; label?: string }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="code"
        inputMode="numeric"
        autoComplete="one-time-code"
        maxLength={7}
        value={value}
        // Where this stands, it is the one thing to do.
        autoFocus
        onChange={(event) => change(event.target.value.replace(/\D/g, "").slice(0, 6))}
      />
    </div>
  );
}

/** A text with a name above it, and what to know of it below. */
export function Field({
  label,
  help,
  ...rest
}: { label: string; help?: string } & React.InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} aria-describedby={help ? `${id}-help` : undefined} {...rest} />
      {help && (
        <p className="help" id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  );
}
