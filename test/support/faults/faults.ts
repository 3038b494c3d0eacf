import { EXTERNAL, type FaultLab, type Weights } from "./fault-lab.ts";

/** Something that happens to a lab, as data: a list of them can be printed and played again. */
export type Fault =
  | { readonly kind: "members"; readonly targets: readonly string[] }
  | { readonly kind: "weights"; readonly weights: Weights }
  | { readonly kind: "drain"; readonly target: string; readonly graceSeconds: number }
  | { readonly kind: "kill-target"; readonly target: string }
  | { readonly kind: "kill-instance"; readonly node: string }
  | { readonly kind: "freeze-instance"; readonly node: string }
  | { readonly kind: "cut-instance"; readonly node: string }
  | { readonly kind: "kill-process"; readonly node: string; readonly process: string }
  | { readonly kind: "restart-instance"; readonly node: string }
  | { readonly kind: "restart-router" }
  | { readonly kind: "flush"; readonly node: string };

const GRACE_SECONDS = "30";

/** What must hold while it lasts and when it is undone. */
export interface Promised {
  /** The target whose own connections may break, so many ms after the fault began. */
  readonly own?: { readonly target: string; readonly afterMs: number };
  /** New connections are served again within so many ms; 0: at once. */
  readonly servedWithinMs: number;
}

/** The table. Pure. */
export function promised(fault: Fault): Promised {
  switch (fault.kind) {
    case "members":
    case "weights":
    case "kill-process":
    case "restart-instance":
    case "restart-router":
      return { servedWithinMs: 0 };
    case "drain":
      return { own: { target: fault.target, afterMs: fault.graceSeconds * 1000 }, servedWithinMs: 0 };
    case "kill-target":
      return { own: { target: fault.target, afterMs: 0 }, servedWithinMs: 1000 };
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

/** Makes it happen. */
export async function begin(lab: FaultLab, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "members":
      return lab.setMembers(fault.targets);
    case "weights":
      return lab.setWeights(fault.weights);
    case "drain":
      return lab.drain(fault.target, fault.graceSeconds);
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
    case "restart-instance":
      await lab.act("drain", fault.node, GRACE_SECONDS);
      return lab.ended(fault.node);
    case "restart-router":
      return lab.act("stop", "router", "bird");
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
      return lab.replace(fault.target);
    case "kill-target":
      return lab.act("start", fault.target);
    case "kill-instance":
    case "restart-instance":
      return lab.act("start", fault.node);
    case "restart-router":
      return lab.act("start", "router", "bird");
    case "freeze-instance":
      return lab.act("thaw", fault.node);
    case "cut-instance":
      return lab.act("mend", fault.node, EXTERNAL);
    case "kill-process":
      return lab.act("start", fault.node, fault.process);
  }
}
