import { availableParallelism, loadavg } from "node:os";
import type { FaultLab } from "./fault-lab.ts";
import { outageMs } from "./held-traffic.ts";
import { Ordeal, type Result } from "./ordeal.ts";

const MOST_TRIES = 3;

/** Whether the machine has far more to run than processors: then a BFD of 100 ms x 3 falls without any fault. */
export const isOverloaded = (): boolean => (loadavg()[0] ?? 0) > 2 * availableParallelism();

/** Tries of stories on one lab, and the figures that were seen. */
export class Trials {
  readonly #lab: FaultLab;
  readonly figures: string[] = [];

  constructor(lab: FaultLab) {
    this.#lab = lab;
  }

  /** What 1,000 connections and new ones beside them see of a story, until the lab is whole again. */
  async see(title: string, story: (ordeal: Ordeal) => Promise<void>): Promise<Result> {
    const ordeal = await Ordeal.start(this.#lab);
    await story(ordeal);
    await this.#lab.converged();
    const result = await ordeal.stop();
    const { broken, held } = result.seen;
    this.figures.push(
      `${title}: ${broken.length} of ${held} broken, not served at once for ${outageMs(result.seen)} ms`,
    );
    return result;
  }

  /**
   * The same, for a story that is to break no promise. What is promised is what the system keeps, not what others take: on
   * a machine that is overloaded a story that fails is told again.
   */
  async keep(title: string, story: (ordeal: Ordeal) => Promise<void>, before = async () => undefined): Promise<Result> {
    for (let tries = 1; ; tries++) {
      await before();
      const result = await this.see(title, story);
      if (result.failures.length === 0 || tries === MOST_TRIES || !isOverloaded()) return result;
      await this.#lab.heal();
    }
  }
}
