import type { Log } from "#shared/process/log.ts";
import type { Intent, LegId } from "#shared/resolve/intent-types.ts";
import { isPrimary, tracksConnections } from "#shared/resolve/primary-network.ts";
import { keeps } from "./moves/moves.ts";

/** What is needed of the kernel. */
export interface TrackingKernel {
  /** How many connections to the VIPs are tracked, by leg. */
  trackedLegs(intent: Intent): ReadonlyMap<LegId, number>;
  forgetTracked(legs: readonly LegId[]): void;
}

/** Legs whose connections go on. UDP loses no state by asking another target, so it leaves one that is not ready at once. */
function served({ legs }: Intent): ReadonlySet<LegId> {
  const primary = [...legs.values()].filter(isPrimary);
  return new Set(
    primary.filter((leg) => keeps(leg, leg.protocol === "UDP" ? "datagram" : "connection")).map(({ id }) => id),
  );
}

/**
 * Has the kernel forget connections to targets that are gone: it would go on sending there. The client of a TCP connection
 * is then told by a reset, and the next datagram finds the owner of its slot.
 */
export class TrackedConnections {
  readonly #kernel: TrackingKernel;
  readonly #log: Log;
  /** Undefined: what the kernel tracks is not known to be ours. */
  #served: ReadonlySet<LegId> | undefined;

  constructor(kernel: TrackingKernel, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** To be called when an intent is in force. */
  applied(intent: Intent): void {
    if (this.#served === undefined && !tracksConnections(intent)) return;
    const next = served(intent);
    try {
      // A proxy that starts does not know what went while there was none.
      const before = this.#served ?? new Set(this.#kernel.trackedLegs(intent).keys());
      const gone = [...before.difference(next)];
      if (gone.length > 0) this.#kernel.forgetTracked(gone);
      this.#served = next;
    } catch (error) {
      // The next pass asks the kernel anew, as a proxy that starts does.
      this.#served = undefined;
      this.#log.error({ err: error }, "cannot forget connections to targets that are gone");
    }
  }
}
