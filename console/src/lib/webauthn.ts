/** Passkeys as the server speaks of them: JSON (WebAuthn Level 3, section 5.1), also in browsers that cannot convert it themselves. */

const fromText = (text: string): ArrayBuffer => {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (char) => char.charCodeAt(0)).buffer;
};

export const toText = (bytes: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

type Json = Record<string, unknown>;
/** Options come as the server's library writes them: bare, or within `publicKey`. */
const inner = (options: Json): Json => (options.publicKey ?? options) as Json;

const descriptors = (list: unknown) =>
  ((list as { id: string; type: "public-key"; transports?: AuthenticatorTransport[] }[] | undefined) ?? []).map((one) => ({
    ...one,
    id: fromText(one.id),
  }));

export function creationOptions(options: Json): PublicKeyCredentialCreationOptions {
  const json = inner(options);
  if (typeof PublicKeyCredential !== "undefined" && "parseCreationOptionsFromJSON" in PublicKeyCredential) {
    return PublicKeyCredential.parseCreationOptionsFromJSON(json as unknown as PublicKeyCredentialCreationOptionsJSON);
  }
  const user = json.user as Json;
  return {
    ...json,
    challenge: fromText(json.challenge as string),
    user: { ...user, id: fromText(user.id as string) },
    excludeCredentials: descriptors(json.excludeCredentials),
  } as unknown as PublicKeyCredentialCreationOptions;
}

export function requestOptions(options: Json): PublicKeyCredentialRequestOptions {
  const json = inner(options);
  if (typeof PublicKeyCredential !== "undefined" && "parseRequestOptionsFromJSON" in PublicKeyCredential) {
    return PublicKeyCredential.parseRequestOptionsFromJSON(json as unknown as PublicKeyCredentialRequestOptionsJSON);
  }
  return {
    ...json,
    challenge: fromText(json.challenge as string),
    allowCredentials: descriptors(json.allowCredentials),
  } as unknown as PublicKeyCredentialRequestOptions;
}

/** A credential as JSON; `toJSON` of the browser where it has it. */
export function credentialJson(credential: PublicKeyCredential): Json {
  const response = credential.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const parts: Json = { clientDataJSON: toText(response.clientDataJSON) };
  if (response.attestationObject) {
    parts.attestationObject = toText(response.attestationObject);
    parts.transports = response.getTransports?.() ?? [];
  }
  if (response.authenticatorData) parts.authenticatorData = toText(response.authenticatorData);
  if (response.signature) parts.signature = toText(response.signature);
  if (response.userHandle) parts.userHandle = toText(response.userHandle);
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response: parts,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

export const passkeysServe = () => typeof PublicKeyCredential !== "undefined" && window.isSecureContext;

/** What a failed ceremony means, for whoever sits before it. */
const failed = (error: unknown) =>
  new Error(
    error instanceof DOMException && error.name === "NotAllowedError"
      ? "The passkey was not shown: it was cancelled, or it took too long. Try again."
      : error instanceof DOMException && error.name === "InvalidStateError"
        ? "This passkey is registered already. Use another one."
        : `The browser could not use a passkey: ${error instanceof Error ? error.message : String(error)}`,
  );

export async function makePasskey(options: Json): Promise<Json> {
  try {
    const made = await navigator.credentials.create({ publicKey: creationOptions(options) });
    return credentialJson(made as PublicKeyCredential);
  } catch (error) {
    throw failed(error);
  }
}

export async function showPasskey(options: Json): Promise<Json> {
  try {
    const shown = await navigator.credentials.get({ publicKey: requestOptions(options) });
    return credentialJson(shown as PublicKeyCredential);
  } catch (error) {
    throw failed(error);
  }
}
