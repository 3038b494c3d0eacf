import type { FaultLab } from "./fault-lab.ts";
import { begin, end, type Fault } from "./faults.ts";
import { HeldTraffic, type HeldTrafficOptions, type Seen } from "./held-traffic.ts";
import { judge, type Moment } from "./judge.ts";

export interface Result {
  /** What the clients saw. */
  readonly seen: Seen;
  /** Which promises were broken. */
  readonly failures: readonly string[];
}

/** Faults over held and new connections, and what became of them. */
export class Ordeal {
  readonly #lab: FaultLab;
  readonly #traffic: HeldTraffic;
  readonly #moments: Moment[] = [];
  readonly #onMoment: (moment: Moment) => void;

  private constructor(lab: FaultLab, traffic: HeldTraffic, onMoment: (moment: Moment) => void) {
    this.#lab = lab;
    this.#traffic = traffic;
    this.#onMoment = onMoment;
  }

  /** Resolves when the lab is whole and every connection is held. */
  static async start(
    lab: FaultLab,
    { load, onMoment = () => undefined }: { load?: HeldTrafficOptions; onMoment?: (moment: Moment) => void } = {},
  ): Promise<Ordeal> {
    await lab.converged();
    await lab.settled();
    return new Ordeal(lab, await HeldTraffic.start(lab.lab, load), onMoment);
  }

  async begin(fault: Fault): Promise<void> {
    this.#note({ atMs: Date.now(), fault, event: "began" });
    await begin(this.#lab, fault);
  }

  async end(fault: Fault): Promise<void> {
    this.#note({ atMs: Date.now(), fault, event: "over" });
    await end(this.#lab, fault);
  }

  #note(moment: Moment): void {
    this.#moments.push(moment);
    this.#onMoment(moment);
  }

  /** Ends the traffic. */
  async stop(): Promise<Result> {
    const seen = await this.#traffic.stop();
    return { seen, failures: judge(seen, this.#moments) };
  }
}
