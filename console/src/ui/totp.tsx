/** Enrolling one-time passwords: a QR code that is drawn here, and the first code. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { encode } from "uqr";
import { api, type Schemas, take } from "../api/client";
import { CodeField } from "./code";
import { Complaint, Failed, Loading } from "./states";

/** The squares of a QR code as one path, with the quiet zone of four modules that the standard wants (ISO/IEC 18004). */
export function qrPath(text: string): { path: string; size: number } {
  const { data, size } = encode(text, { border: 4 });
  const parts: string[] = [];
  data.forEach((row, y) => row.forEach((isDark, x) => isDark && parts.push(`M${x} ${y}h1v1h-1z`)));
  return { path: parts.join(""), size };
}

function Qr({ text }: { text: string }) {
  const { path, size } = useMemo(() => qrPath(text), [text]);
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="QR code for the authenticator application" shapeRendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}

export function TotpEnrolment({ done }: { done: (told: Schemas["Signing"] | undefined) => void }) {
  const offer = useQuery({
    queryKey: ["totp-offer"],
    queryFn: () => take(api.POST("/api/v1/me/totp")),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
  });
  const [code, setCode] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  if (offer.isError) return <Failed error={offer.error} again={() => void offer.refetch()} />;
  if (!offer.data) return <Loading what="Making a secret" />;
  const { ceremony, uri } = offer.data;
  const secret = /[?&]secret=([A-Z2-7]+)/.exec(uri)?.[1] ?? "";
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      done((await take(api.PUT("/api/v1/me/totp", { body: { ceremony, code } }))) ?? undefined);
    } catch (failure) {
      setError(failure);
      setCode("");
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="totp">
      <Qr text={uri} />
      <form className="form" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <p>Scan the code with an authenticator application, then type the six digits that it shows.</p>
        <details>
          <summary>Without a camera</summary>
          <p>Type this secret into the application: time-based, six digits, 30 seconds.</p>
          <code className="secret" data-testid="totp-secret">
            {secret.replace(/(.{4})(?=.)/g, "$1 ")}
          </code>
        </details>
        <CodeField value={code} change={setCode} label="Six digits" />
        <Complaint error={error} />
        <button type="submit" className="primary" disabled={isBusy || code.length < 6}>
          Enrol
        </button>
      </form>
    </div>
  );
}
