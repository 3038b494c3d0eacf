import type { BfdReport } from "#shared/bfd/bfd-messages.ts";
import { BfdThread } from "#shared/bfd/bfd-thread.ts";
import type { Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import { bfdConfigs, type Gate, gated, nextGate, UNHEARD } from "./bfd-gate.ts";
import type { DesiredState } from "./desired-state.ts";

/** BFD beside the peers that ask for it, and what it lets pass. */
export class BfdControl {
  readonly #thread: BfdThread;
  #gates: ReadonlyMap<Ip, Gate> = new Map();

  constructor(log: Log, onChange: () => void) {
    this.#thread = new BfdThread(log, onChange);
  }

  /**
   * Begins and ends sessions as the peers ask, and answers the peers that may be used now.
   * @param restarting routers whose routes are being kept while they restart.
   */
  pass(desired: DesiredState, daemonDoesBfd: boolean, restarting: readonly Ip[], nowMs: number): DesiredState {
    const configs = bfdConfigs(desired, daemonDoesBfd);
    this.#thread.want(configs);
    const reports = this.#thread.reports();
    this.#gates = new Map(
      configs.map(({ neighbour }) => {
        const before = this.#gates.get(neighbour) ?? UNHEARD;
        return [neighbour, nextGate(before, reports.get(neighbour), restarting.includes(neighbour), nowMs)];
      }),
    );
    return gated(desired, this.#gates);
  }

  /** Whether a session is not Up. */
  get isDown(): boolean {
    return [...this.#thread.reports().values()].some(({ state }) => state !== "Up");
  }

  /** By address of the peer. */
  reports(): ReadonlyMap<Ip, BfdReport> {
    return this.#thread.reports();
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}
