const WINDOW_MS = 60_000;

/** A true sliding window: in no 60 seconds, wherever they begin, are more requests let in than allowed. */
export class RateWindow {
  /** Arrival times of the requests let in, oldest first. */
  #arrivalsMs: number[] = [];

  /** Lets a request in, or says in how many seconds the next one has a chance. A refused request leaves no trace. */
  admit(nowMs: number, ratePerMinute: number): { admitted: true } | { admitted: false; retryAfterSeconds: number } {
    if (ratePerMinute === 0) return { admitted: true };
    const firstInside = this.#arrivalsMs.findIndex((arrivalMs) => nowMs - arrivalMs < WINDOW_MS);
    this.#arrivalsMs = firstInside < 0 ? [] : this.#arrivalsMs.slice(firstInside);
    // The arrival that has to leave before there is room; not the oldest when the rate was lowered meanwhile.
    const blockingMs = this.#arrivalsMs[this.#arrivalsMs.length - ratePerMinute];
    if (blockingMs === undefined) {
      this.#arrivalsMs.push(nowMs);
      return { admitted: true };
    }
    return { admitted: false, retryAfterSeconds: Math.max(1, Math.ceil((blockingMs + WINDOW_MS - nowMs) / 1_000)) };
  }

  reset(): void {
    this.#arrivalsMs = [];
  }
}
