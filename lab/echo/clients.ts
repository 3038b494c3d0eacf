import { setTimeout as delay } from "node:timers/promises";

/** Packets of new flows still come for as long as endpoints take to be published; and a datagram ends nothing. */
const QUIET_MS = 1_000;
const LOOK_MS = 50;

/** Whom a service still serves: it can end without harm when no connection is open and nobody asks any more. */
export class Clients {
  #open = 0;
  #lastMs = 0;

  opened(): void {
    this.#open += 1;
    this.asked();
  }

  closed(): void {
    this.#open -= 1;
    this.asked();
  }

  /** Somebody began or ended something, or sent a datagram. */
  asked(): void {
    this.#lastMs = performance.now();
  }

  /** Resolves when no connection has been open and nobody has asked for a second, counted from now at the earliest. */
  async gone(): Promise<void> {
    this.asked();
    while (this.#open > 0 || performance.now() - this.#lastMs < QUIET_MS) {
      await delay(LOOK_MS);
    }
  }
}
