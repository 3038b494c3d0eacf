import { EXTERNAL, type FaultLab, type Weights } from "./fault-lab.ts";

/** Something that happens to a lab, as data: a list of them can be printed and played again. */
export type Fault =
  | { readonly kind: "members"; readonly targets: readonly string[] }
  | { readonly kind: "weights"; readonly weights: Weights }
  | { readonly kind: "drain"; readonly target: string }
  | { readonly kind: "kill-target"; readonly target: string }
  | { readonly kind: "kill-instance"; readonly node: string }
  | { readonly kind: "freeze-instance"; readonly node: string }
  | { readonly kind: "cut-instance"; readonly node: string }
  | { readonly kind: "kill-process"; readonly node: string; readonly process: string }
  | { readonly kind: "flush"; readonly node: string };

/** What must hold while it lasts and when it is undone. */
export interface Promised {
  /** The target whose own connections may break. */
  readonly own?: string;
  /** New connections are served again within so many ms; 0: at once. */
  readonly servedWithinMs: number;
}

/** The table. Pure. */
export function promised(fault: Fault): Promised {
  switch (fault.kind) {
    case "members":
    case "weights":
    case "kill-process":
      return { servedWithinMs: 0 };
    // Its connections may last no longer than it does.
    case "drain":
      return { own: fault.target, servedWithinMs: 0 };
    case "kill-target":
      return { own: fault.target, servedWithinMs: 1000 };
    case "kill-instance":
      return { servedWithinMs: 500 };
    case "freeze-instance":
    case "cut-instance":
    case "flush":
      return { servedWithinMs: 1000 };
  }
}

/** One line for people. Pure. */
export function describe(fault: Fault): string {
  const { kind, ...rest } = fault;
  return `${kind} ${Object.values(rest)
    .map((value) => (typeof value === "object" ? JSON.stringify(value) : value))
    .join(" ")}`;
}

const GRACE_MS = 60_000;

/** Makes it happen. */
export async function begin(lab: FaultLab, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "members":
      return lab.setMembers(fault.targets);
    case "weights":
      return lab.setWeights(fault.weights);
    case "drain":
      return lab.terminate(fault.target, GRACE_MS);
    case "kill-target":
      return lab.act("stop", fault.target);
    case "kill-instance":
      return lab.act("stop", fault.node);
    case "freeze-instance":
      return lab.act("freeze", fault.node);
    case "cut-instance":
      return lab.act("cut", fault.node, EXTERNAL);
    case "kill-process":
      return lab.act("stop", fault.node, fault.process);
    case "flush":
      await lab.lab.exec(fault.node, "nft", "flush", "ruleset");
  }
}

/** Undoes it; a change of targets or weights stays. */
export async function end(lab: FaultLab, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "members":
    case "weights":
    case "flush":
      return;
    case "drain":
      // The Pod has ended, and a new one of its name begins.
      await lab.act("stop", fault.target);
      lab.revive(fault.target);
      return lab.act("start", fault.target);
    case "kill-target":
      return lab.act("start", fault.target);
    case "kill-instance":
      return lab.act("start", fault.node);
    case "freeze-instance":
      return lab.act("thaw", fault.node);
    case "cut-instance":
      return lab.act("mend", fault.node, EXTERNAL);
    case "kill-process":
      return lab.act("start", fault.node, fault.process);
  }
}
