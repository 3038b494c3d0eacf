import { FIRST_TARGETS, GATEWAYS, TARGETS } from "../support/faults/fault-lab.ts";
import type { Fault } from "../support/faults/faults.ts";
import { SeededRandom } from "../support/seeded-random.ts";

/** A fault, and what is changed while it lasts. The lab is whole again before the next one. */
export interface Step {
  readonly fault: Fault;
  readonly lastsMs: number;
  readonly changes: readonly { readonly afterMs: number; readonly change: Fault }[];
}

/** At least so many targets serve all the time: a Service of each track needs one that does. */
const LEAST_SERVING = 3;
const MOST_CHANGES = 5;
/** A target that is drained serves its connections until the round is over. */
const ROUND_S = 90;

/** What may happen to a target, as the steps so far have left them. */
class Targets {
  readonly #members = new Set(FIRST_TARGETS);
  readonly #draining = new Set<string>();

  get serving(): string[] {
    return [...this.#members].filter((target) => !this.#draining.has(target));
  }

  get outside(): string[] {
    return TARGETS.filter((target) => !this.#members.has(target));
  }

  /** Of a track with two others that serve, so that one of them may be killed meanwhile. */
  get spare(): string[] {
    const { serving } = this;
    return serving.filter((target) => serving.filter((other) => parity(other) === parity(target)).length > 2);
  }

  add(target: string): Fault {
    this.#members.add(target);
    return { kind: "members", targets: [...this.#members].sort() };
  }

  drain(target: string): Fault {
    this.#draining.add(target);
    return { kind: "drain", target, graceSeconds: ROUND_S };
  }
}

const parity = (target: string): number => Number(target.at(-1)) % 2;

/**
 * The steps of a round: the same for the same seed. One thing at a time fails. First comes what moves flows to other
 * instances, then what changes targets: a flow that does both may break (limit 1). Targets are added and drained, never
 * taken away at once. Pure.
 */
export function planRound(seed: number, steps: number): Step[] {
  const random = new SeededRandom(seed);
  const targets = new Targets();
  return Array.from({ length: steps }, (_, index) => {
    const first = index < steps / 2;
    const fault = first ? instanceFault(random) : otherFault(random, targets);
    const lastsMs = random.whole(800, 2500);
    const times = Array.from({ length: first ? 0 : random.whole(1, MOST_CHANGES) }, () => random.whole(0, lastsMs));
    const changes = times
      .sort((a, b) => a - b)
      .map((afterMs) => ({ afterMs, change: planChange(random, targets, fault) }));
    return { fault, lastsMs, changes };
  });
}

/** Changes of targets and weights alone, to be made one upon the other. Pure. */
export function planChanges(seed: number, count: number): Fault[] {
  const random = new SeededRandom(seed);
  const targets = new Targets();
  return Array.from({ length: count }, () => planChange(random, targets));
}

function instanceFault(random: SeededRandom): Fault {
  const node = random.pick(GATEWAYS);
  return random.pick<Fault>([
    { kind: "kill-instance", node },
    { kind: "freeze-instance", node },
    { kind: "cut-instance", node },
    { kind: "restart-instance", node },
    { kind: "kill-process", node, process: "frontend" },
    { kind: "flush", node },
    { kind: "restart-router" },
  ]);
}

function otherFault(random: SeededRandom, targets: Targets): Fault {
  return random.pick<Fault>([
    { kind: "kill-target", target: random.pick(targets.serving) },
    { kind: "kill-process", node: random.pick(GATEWAYS), process: "proxy" },
    { kind: "kill-process", node: "cluster", process: "controller" },
    { kind: "kill-process", node: "cluster", process: "node" },
  ]);
}

function planChange(random: SeededRandom, targets: Targets, fault?: Fault): Fault {
  const odd = random.whole(10, 90);
  const choices: (() => Fault)[] = [() => ({ kind: "weights", weights: { odd, even: 100 - odd } })];
  const { outside } = targets;
  if (outside.length > 0) choices.push(() => targets.add(random.pick(outside)));
  const spare = targets.spare.filter((target) => fault?.kind !== "kill-target" || target !== fault.target);
  if (spare.length > 0 && targets.serving.length > LEAST_SERVING) choices.push(() => targets.drain(random.pick(spare)));
  return random.pick(choices)();
}
