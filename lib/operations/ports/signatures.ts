/** Something that came from outside, with what its signature is about. */
export interface Signed {
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** The body's bytes as they arrived. */
  readonly rawBody: Uint8Array;
}

/** Whether a signature is right. A reason names the rule and quotes nothing. */
export type SignatureVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'missing' | 'malformed' | 'stale' | 'mismatch' };

/** Says whether what has come was sent by who may send it. */
export type SignatureVerifier = (signed: Signed) => SignatureVerdict;
