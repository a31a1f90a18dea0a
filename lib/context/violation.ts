/** One way in which an input breaks a rule. It names the place and the rule, never the value (SCENARIOS 44). */
export interface Violation {
  /** JSON Pointer (RFC 6901) into the input. */
  readonly pointer: string;
  /** Says what is wrong in a sentence that starts at the pointer: "is not …". */
  readonly message: string;
  /** Stable, for programs. */
  readonly code: string;
}
